import { createHash } from 'node:crypto'
import { mkdir, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Answer } from '../../cli/answer.js'
import { membershipFromInvitation, type Membership, saveMembership } from '../../node/swarm/membership.js'
import { flambeauHome } from '../support/flambeau-process.js'
import { type Mesh, startMesh, succeed } from '../support/mesh.js'
import { engineOf } from '../support/processes.js'
import { swarmPeer } from '../support/swarm-peer.js'
import { type TemporaryFolder, temporaryFolder } from '../support/temporary.js'
import { writeTinyModel } from '../support/tiny-model.js'
import { waitFor } from '../support/wait-for.js'

let folder: TemporaryFolder
let mesh: Mesh

beforeAll(async () => {
  folder = await temporaryFolder()
  const { file } = await writeTinyModel(folder.file('tiny.gguf'), { architecture: 'qwen2' })
  mesh = await startMesh({
    nodes: [{ layers: '0-4' }, { layers: '4-8' }],
    models: [{ file, name: 'tiny' }],
    closed: true
  })
})

afterAll(async () => {
  await mesh[Symbol.asyncDispose]()
  await folder.remove()
})

/** Peers that the first node sees beside itself. */
async function others(): Promise<number> {
  return (await mesh.node(0).service.status()).peers
}

describe('a closed swarm', () => {
  const withoutKey = (membership: Membership): Membership => ({ ...membership, key: undefined })
  const withOtherKey = (membership: Membership): Membership => ({
    ...membership,
    key: membership.key?.map(byte => byte ^ 1)
  })

  it.each([
    ['without the key', withoutKey],
    ['with another key', withOtherKey]
  ])('does not let in a peer %s', async (_what, change) => {
    const membership = membershipFromInvitation(mesh.invitation)
    const { peer } = await mesh.node(0).service.status()
    await using stranger = await swarmPeer(change(membership))
    await expect(stranger.swarm.connect(peer, { addresses: membership.bootstrap })).rejects.toMatchObject({
      code: 'PEER_UNREACHABLE'
    })
    expect(await others()).toBe(1)
  })

  it('lets in one with the key', async () => {
    const membership = membershipFromInvitation(mesh.invitation)
    const { peer } = await mesh.node(0).service.status()
    await using member = await swarmPeer(membership)
    await member.swarm.connect(peer, { addresses: membership.bootstrap })
    expect(member.swarm.directory.nodes()).toBeDefined()
  })

  it('answers a member, and tells a stranger that nobody answers', async () => {
    const command = ['run', 'tiny', '--temperature', '0', '--max-tokens', '4', 'the']
    await using stranger = await flambeauHome()
    const membership = withOtherKey(membershipFromInvitation(mesh.invitation))
    await saveMembership(join(stranger.path, 'swarm.json'), membership)
    const refused = stranger.run(command)
    const member = await mesh.member()
    expect((await member.json<Answer>(command)).tokens).toHaveLength(4)
    const { code, stderr } = await refused
    expect(code).toBe(7)
    expect(stderr).toMatch(/No node of the swarm "mesh" answers/)
  })
})

describe('an invitation', () => {
  it.each([
    ['that is damaged', (text: string) => `${text.slice(0, -9)}AAAAAAAA`, /damaged, copy all of it again/],
    ['that is cut short', (text: string) => text.slice(0, -20), /damaged/],
    ['of another version', ofVersion2, /version 2 .* reads version 1/],
    ['that is none', () => 'ftp://example.org', /not an invitation/]
  ])('%s is refused with its reason', async (_what, change, expected) => {
    await using home = await flambeauHome()
    const { code, stderr } = await home.run(['join', change(mesh.invitation)])
    expect(code).toBe(2)
    expect(stderr).toMatch(expected)
  })
})

/** The version is the message's first field; a checksum of four bytes is at the end. */
function ofVersion2(invitation: string): string {
  const message = Buffer.from(invitation.slice('flambeau:'.length), 'base64url').subarray(0, -4)
  message[1] = 2
  const checksum = createHash('sha256').update(message).digest().subarray(0, 4)
  return `flambeau:${Buffer.concat([message, checksum]).toString('base64url')}`
}

describe('a node that cannot start says why', () => {
  it('a second one on a home that has one', async () => {
    const { code, stderr } = await mesh.run(0, ['up', '--port', '0'])
    expect(code).toBe(3)
    expect(stderr).toContain(`process ${mesh.node(0).process.pid}`)
    expect(stderr).toContain('FLAMBEAU_HOME')
  })

  it('a port that is taken', async () => {
    const { addresses } = await mesh.node(0).service.status()
    const port = /\/tcp\/(\d+)/.exec(addresses[0] ?? '')?.[1] ?? ''
    const member = await mesh.member()
    const { code, stderr } = await member.run(['up', '--port', port, '--no-mdns', '--no-upnp'])
    expect(code).toBe(7)
    expect(stderr).toMatch(new RegExp(`port ${port} is taken.*--port`, 's'))
  })

  it('a home that cannot be written', async () => {
    await using home = await flambeauHome()
    await rm(home.path, { recursive: true })
    await writeFile(home.path, 'a file where the folder should be')
    const { code, stderr } = await home.run(['swarm', 'create', 'mesh'])
    await rm(home.path)
    await mkdir(home.path)
    expect(code).toBe(2)
    expect(stderr).toContain(`data folder ${home.path} cannot be used`)
  })

  it('a home without a swarm', async () => {
    await using home = await flambeauHome()
    const { code, stderr } = await home.run(['up'])
    expect(code).toBe(3)
    expect(stderr).toMatch(/belongs to no swarm.*flambeau join INVITATION/s)
  })
})

describe('a node that is stopped', () => {
  it('ends in order at the first SIGTERM, and is the same with the same layers when it starts again, on its own', async () => {
    const before = await mesh.node(1).service.status()
    const [shard] = before.shards
    const file = join(mesh.node(1).home.path, 'models', shard?.manifest ?? '', 'shards', '4-8.gguf')
    const written = await stat(file)
    const ended = await mesh.node(1).process.stop()
    expect(ended.code).toBe(0)
    // With nobody there to fetch from.
    expect((await mesh.node(0).process.stop()).code).toBe(0)
    const { service } = await mesh.restart(1)
    await waitFor(async () => (await service.status()).shards.length === 1, { what: 'the shard' })
    const after = await service.status()
    expect(after.peer).toBe(before.peer)
    expect(after.shards[0]).toMatchObject({ manifest: shard?.manifest, start: 4, end: 8 })
    expect(await stat(file)).toMatchObject({ mtimeMs: written.mtimeMs, ino: written.ino })
    await mesh.restart(0)
    await mesh.complete('tiny')
  })

  it('ends at once at the second Ctrl+C, whatever hangs', async () => {
    await using home = await flambeauHome()
    await succeed(home, ['swarm', 'create', 'alone'])
    const node = await home.startNode(['up', '--port', '0', '--no-mdns', '--no-upnp', '--backend', 'cpu'])
    // An engine that does not answer holds up the end in order.
    process.kill(await engineOf(node), 'SIGSTOP')
    node.kill('SIGINT')
    await waitFor(() => node.output().stderr.includes('Ctrl+C again'), { what: 'the first Ctrl+C to be seen' })
    expect(node.hasEnded).toBe(false)
    node.kill('SIGINT')
    expect((await node.ended).code).toBe(130)
  })
})
