import { readFile, writeFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { membershipFromInvitation } from '../../node/swarm/membership.js'
import { flambeauHome } from '../support/flambeau-process.js'
import { type Mesh, startMesh } from '../support/mesh.js'
import { EMBER } from '../support/models.js'
import { pieceHolder } from '../support/swarm-peer.js'
import { type TemporaryFolder, temporaryFolder } from '../support/temporary.js'
import { waitFor } from '../support/wait-for.js'

const QUIET = ['--port', '0', '--no-mdns', '--no-upnp', '--threads', '1', '--backend', 'cpu']
/** Every cut of the bundled model is exact. */
const EMBER_OFFER = { file: EMBER, name: 'ember', cuts: [1, 2, 3, 4, 5, 6, 7] }
const FETCH_LIMIT = 60_000

let folder: TemporaryFolder
/** One node that holds nothing, whatever is offered: models come from the tests' own peers, and go to the tests' nodes. */
let mesh: Mesh

beforeAll(async () => {
  folder = await temporaryFolder()
  mesh = await startMesh({ nodes: [{ args: ['--models', 'none'] }], models: [] })
})

afterAll(async () => {
  await mesh[Symbol.asyncDispose]()
  await folder.remove()
})

describe('a file that cannot be shared', () => {
  const header = (changes: (bytes: Buffer) => void) => async (): Promise<Buffer> => {
    const bytes = Buffer.from(await readFile(EMBER))
    changes(bytes)
    return bytes
  }

  // A GGUF begins with its magic, the version (32 bits), the count of tensors and that of metadata (64 bits each), then
  // the first key: its length (64 bits).
  it.each([
    ['is no GGUF', async () => Promise.resolve(Buffer.from('Once upon a time')), /not a GGUF/i],
    ['is empty', async () => Promise.resolve(Buffer.alloc(0)), /GGUF|empty|truncated/i],
    ['ends in its header', async () => (await readFile(EMBER)).subarray(0, 2_000), /truncated|ends|cut short/i],
    ['ends in its tensors', async () => (await readFile(EMBER)).subarray(0, 1_000_000), /blk.*cut off/],
    ['is of a version to come', header(bytes => bytes.writeUInt32LE(77, 4)), /version 77/],
    ['has absurdly many tensors', header(bytes => bytes.writeBigUInt64LE(2n ** 60n, 8)), /tensors/],
    ['has absurdly much metadata', header(bytes => bytes.writeBigUInt64LE(2n ** 63n, 16)), /metadata/],
    ['has an absurdly long key', header(bytes => bytes.writeBigUInt64LE(2n ** 40n, 24)), /long|string|bytes/]
  ])('because it %s is refused in one line, and the node goes on', async (what, make, expected) => {
    const file = folder.file(`${what.replaceAll(' ', '-')}.gguf`)
    await writeFile(file, await make())
    const { code, stdout, stderr } = await mesh.run(0, ['share', file])
    const said = stderr
      .trim()
      .split('\n')
      .filter(line => !/ \d+ %$/.test(line))
    expect(said).toEqual([expect.stringMatching(/^flambeau: /)])
    expect(said[0]).toMatch(expected)
    expect(stdout).toBe('')
    expect(code).toBe(6)
    const status = await mesh.node(0).service.status()
    expect(status).toMatchObject({ pid: mesh.node(0).process.pid, engine: { state: 'ready', restarts: 0 }, tasks: [] })
  })
})

it('a shard check of the bundled model finds no difference', async () => {
  await using home = await flambeauHome()
  const result = await home.json(['shard', 'check', EMBER, '--cuts', '2,5'])
  expect(result).toMatchObject({ largestDifference: 0, differentTokens: 0 })
})

describe('fetching', () => {
  it('refuses wrong pieces, says who sent them, and gets them elsewhere', async () => {
    const membership = membershipFromInvitation(mesh.invitation)
    await using liar = await pieceHolder(membership, EMBER_OFFER, () => 'wrong')
    await using honest = await pieceHolder(membership, EMBER_OFFER, () => 'right')
    expect(liar.manifest).toBe(honest.manifest)
    const member = await mesh.member()
    const node = await member.startNode(['up', ...QUIET, '--layers', '2-6'])
    await waitFor(async () => (await node.service.status()).shards.length > 0, {
      what: 'the shard',
      limit: FETCH_LIMIT
    })
    expect((await node.service.status()).shards).toMatchObject([{ manifest: honest.manifest, start: 2, end: 6 }])
    expect(liar.asked.length).toBeGreaterThan(0)
    expect(honest.asked.length).toBeGreaterThan(0)
    const complaints = node
      .output()
      .stderr.split('\n')
      .filter(line => line.includes('a peer sent a wrong piece'))
    expect(complaints.length).toBeGreaterThan(0)
    for (const complaint of complaints) expect(complaint).toContain(liar.peer)
    await node.stop()
  })

  it('goes on where it was interrupted', async () => {
    const membership = membershipFromInvitation(mesh.invitation)
    const member = await mesh.member()
    const up = ['up', ...QUIET, '--layers', '0-8']
    const handedOver = await (async (): Promise<string[]> => {
      const given: string[] = []
      await using half = await pieceHolder(membership, EMBER_OFFER, hash => {
        if (!half.tensorPieces.has(hash)) return 'right'
        if (given.length >= half.tensorPieces.size / 2) return 'silence'
        given.push(hash)
        return 'right'
      })
      const node = await member.startNode(up)
      const stored = async (): Promise<boolean> => {
        const [task] = (await node.service.status()).tasks
        return (
          half.asked.some(hash => half.tensorPieces.has(hash) && !given.includes(hash)) && (task?.progress ?? 0) > 0.2
        )
      }
      await waitFor(stored, { what: 'half of the model', limit: FETCH_LIMIT })
      node.kill('SIGKILL')
      await node.ended
      return given
    })()
    await using honest = await pieceHolder(membership, EMBER_OFFER, () => 'right')
    const node = await member.startNode(up)
    await waitFor(async () => (await node.service.status()).shards.length > 0, {
      what: 'the shard',
      limit: FETCH_LIMIT
    })
    const tensors = honest.asked.filter(hash => honest.tensorPieces.has(hash))
    expect(tensors.length).toBeGreaterThan(0)
    // The last few may have been on their way.
    const again = tensors.filter(hash => handedOver.includes(hash))
    expect(again.length).toBeLessThan(handedOver.length / 2)
    expect(honest.asked).not.toContain(honest.manifest)
    await node.stop()
  })
})
