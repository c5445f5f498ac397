import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { loadOrCreateIdentity } from '../../../node/swarm/identity.js'
import {
  createMembership,
  invitationTo,
  leaveSwarm,
  loadMembership,
  membershipFromInvitation,
  saveMembership
} from '../../../node/swarm/membership.js'

let folder: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'flambeau-home-'))
})

afterEach(async () => {
  await rm(folder, { recursive: true })
})

const mode = async (file: string): Promise<number> => (await stat(file)).mode & 0o777

describe('loadOrCreateIdentity', () => {
  it('creates a key for its owner only, and finds it again', async () => {
    const file = join(folder, 'identity.key')
    const created = await loadOrCreateIdentity(file)
    const loaded = await loadOrCreateIdentity(file)
    expect(loaded.peer).toBe(created.peer)
    expect(loaded.privateKey.equals(created.privateKey)).toBe(true)
    expect(await mode(file)).toBe(0o600)
    expect(await readdir(folder)).toEqual(['identity.key'])
  })

  it('never replaces a damaged key', async () => {
    const file = join(folder, 'identity.key')
    await loadOrCreateIdentity(file)
    const whole = await readFile(file, 'utf8')
    for (const damaged of ['', 'nonsense', whole.slice(0, 20), Buffer.alloc(68).toString('base64')]) {
      await writeFile(file, damaged)
      await expect(loadOrCreateIdentity(file)).rejects.toMatchObject({ code: 'IDENTITY_DAMAGED', details: { file } })
      expect(await readFile(file, 'utf8')).toBe(damaged)
    }
  })
})

describe('membership', () => {
  it('comes back from its file, open or closed, for its owner only', async () => {
    for (const closed of [false, true]) {
      const file = join(folder, `${String(closed)}.json`)
      const membership = createMembership('the swarm', { closed })
      expect(membership.id).toMatch(/^[0-9a-f]{32}$/)
      expect(membership.key?.byteLength).toBe(closed ? 32 : undefined)
      await saveMembership(file, membership)
      expect(await loadMembership(file)).toEqual(membership)
      expect(await mode(file)).toBe(0o600)
    }
  })

  it('travels in an invitation', () => {
    const membership = createMembership('the swarm', { closed: true })
    const addresses = ['/ip4/192.0.2.1/tcp/27470/p2p/12D3KooWRuqQfuS6jQ1Dn1VWSnJPJSpZ3bZ2vJ1hTzqTqgGQbB5b']
    const invited = membershipFromInvitation(invitationTo(membership, [...addresses, ...addresses]))
    expect(invited).toEqual({ ...membership, bootstrap: addresses })
  })

  it('of another swarm is not overwritten before the node has left', async () => {
    const file = join(folder, 'swarm.json')
    expect(await loadMembership(file)).toBeUndefined()
    const [first, second] = [createMembership('first'), createMembership('second')]
    await saveMembership(file, first)
    await saveMembership(file, { ...first, bootstrap: ['/ip4/192.0.2.1/tcp/1/p2p/12D3'] })
    await expect(saveMembership(file, second)).rejects.toMatchObject({ code: 'ALREADY_MEMBER' })
    await leaveSwarm(file)
    await leaveSwarm(file)
    await saveMembership(file, second)
    expect((await loadMembership(file))?.name).toBe('second')
  })

  it('that is damaged is reported', async () => {
    const file = join(folder, 'swarm.json')
    for (const damaged of ['', '{}', '{"name":"x","id":"12","bootstrap":[]}']) {
      await writeFile(file, damaged)
      await expect(loadMembership(file)).rejects.toMatchObject({ code: 'MEMBERSHIP_DAMAGED' })
    }
  })
})
