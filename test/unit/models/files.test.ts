import { existsSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { writeAll } from '../../../node/models/files.js'

/** A device of Linux that takes nothing. */
const FULL = '/dev/full'

describe.runIf(existsSync(FULL))('a disk without room', () => {
  it('is called that', async () => {
    await using handle = await open(FULL, 'w')
    await expect(writeAll(handle, new Uint8Array(8), 0)).rejects.toMatchObject({ name: 'ModelError', code: 'DISK_FULL' })
  })
})
