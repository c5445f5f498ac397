import { describe, expect, it } from 'vitest'
import { checkSpace, DISK_RESERVE_BYTES } from '../../../node/models/disk-space.js'

const GB = 1e9

describe('space on the disk', () => {
  it.each([
    ['a model beside the reserve', 40 * GB, 40 * GB + DISK_RESERVE_BYTES, true],
    ['a model without the reserve', 40 * GB, 40 * GB + DISK_RESERVE_BYTES - 1, false],
    ['a small model on a small disk', GB / 100, GB / 50, true],
    ['nothing on a full disk', 0, 0, true],
    ['anything where nobody knows', 40 * GB, Infinity, true]
  ])('%s: %d bytes, %d free, %s', async (_what, bytes, free, fits) => {
    const check = checkSpace('a test', '/models', bytes, () => Promise.resolve(free))
    await (fits ? expect(check).resolves.toBeUndefined() : expect(check).rejects.toMatchObject({ code: 'DISK_FULL' }))
  })
})
