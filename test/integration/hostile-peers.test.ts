/** Hostile peers over real libp2p against real nodes: no memory is lost, nobody honest is harmed, and the reason is counted. */
import { createHash, randomBytes } from 'node:crypto'
import { RecordEnvelope } from '@libp2p/peer-record'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { GenerateRequest, PeerView, StatusView } from '../../node/control/contract.js'
import { createIdentity } from '../../node/swarm/identity.js'
import { type Membership, membershipFromInvitation } from '../../node/swarm/membership.js'
import { sealRecord } from '../../node/swarm/record.js'
import { BAN_SCORE, STAGE_LIMITS, WEIGHTS } from '../../node/trust/constants.js'
import { toHex } from '../../protocol/bytes.js'
import { PIECES_PROTOCOL, RELAY_PROTOCOL, STAGE_PROTOCOL, STATUS_PROTOCOL } from '../../protocol/ids.js'
import { MAX_MANIFEST_BYTES } from '../../protocol/limits.js'
import type { NodeRecord, ServedShard } from '../../protocol/node-record.js'
import { decodeStageReply, encodeRelayRequest, encodeStageRequest, type Open } from '../../protocol/stage.js'
import { encodeStatusRequest } from '../../protocol/status-reply.js'
import { type Mesh, startMesh } from '../support/mesh.js'
import { EMBER } from '../support/models.js'
import { residentBytes } from '../support/processes.js'
import { hidden, LINK_TO_ORIGIN, openFrame, stageStep, WANT_NOTHING } from '../support/stage-frames.js'
import { falseOffers, pieceHolder, type SwarmPeer, swarmPeer } from '../support/swarm-peer.js'
import { type Conversation, talk } from '../support/talk.js'
import { type TemporaryFolder, temporaryFolder } from '../support/temporary.js'
import { writeTinyModel } from '../support/tiny-model.js'
import { waitFor } from '../support/wait-for.js'

/** Bytes by which a node may have grown after an attack: a few of the largest manifests that no collection has freed yet. */
const MAX_GROWTH = 128 * 1024 * 1024
/** Fewer than a ban takes, so that each of them meets the limit that it is about. */
const REPEAT = BAN_SCORE / WEIGHTS.broken - 2
/** A malicious peer is out after so many times. */
const MALICE = Math.ceil(BAN_SCORE / WEIGHTS.malice)
/** Milliseconds in which a node has tried to fetch what is offered. */
const FETCH_LIMIT = 30_000

/** Of the peer that opens too many. */
const STREAMS = 1_000
/** No more, or on a busy machine its own limit for an opening ends most of them before the node has seen them. */
const STREAMS_AT_ONCE = 100

/** Milliseconds in which a node has told how much room it has: it does so every 15 s. */
const FULL_LIMIT = 40_000

const REQUEST: GenerateRequest = {
  model: 'tiny',
  prompt: 'the',
  sampling: { temperature: 0, maxTokens: 12 },
  dtype: 'f32'
}

let folder: TemporaryFolder
let mesh: Mesh
let membership: Membership
let nodes: StatusView[]
let manifest: string
let expected: number[]
/** Streams that say nothing, or hardly anything, from the beginning on. */
let patient: SwarmPeer
let lingering: Conversation[]
let dripping: Conversation
let drip: NodeJS.Timeout

beforeAll(async () => {
  folder = await temporaryFolder()
  const { file } = await writeTinyModel(folder.file('tiny.gguf'), { architecture: 'llama' })
  mesh = await startMesh({ nodes: [{ layers: '0-4' }, { layers: '4-8' }], models: [{ file, name: 'tiny' }] })
  membership = membershipFromInvitation(mesh.invitation)
  nodes = await mesh.status()
  manifest = nodes[0]?.shards[0]?.manifest ?? ''
  expected = (await mesh.ask(0, REQUEST)).tokens
  patient = await attacker()
  lingering = await Promise.all(
    [STAGE_PROTOCOL, RELAY_PROTOCOL, PIECES_PROTOCOL, STATUS_PROTOCOL].map(protocol => speak(patient, 1, protocol))
  )
  dripping = await speak(patient, 1, STAGE_PROTOCOL)
  const slowly = open(1)
  dripping.sendRaw(Uint8Array.of(0x80 | (slowly.length & 0x7f), slowly.length >> 7))
  let sent = 0
  drip = setInterval(() => {
    try {
      dripping.sendRaw(slowly.subarray(sent, ++sent))
    } catch {
      clearInterval(drip) // the node has had enough
    }
  }, 500)
})

afterAll(async () => {
  clearInterval(drip)
  await patient[Symbol.asyncDispose]()
  await mesh[Symbol.asyncDispose]()
  await folder.remove()
})

/** A member of the swarm that knows the nodes. */
async function attacker(): Promise<SwarmPeer> {
  const peer = await swarmPeer(membership)
  for (const { peer: node, addresses } of nodes) await peer.swarm.connect(node, { addresses })
  return peer
}

const peerOf = (node: number): string => nodes[node]?.peer ?? ''

async function speak({ swarm }: SwarmPeer, node: number, protocol: string): Promise<Conversation> {
  return await talk(swarm, { peer: peerOf(node), protocol })
}

async function count(node: number, reason: string): Promise<number> {
  return (await mesh.node(node).service.status()).refused[reason] ?? 0
}

/**
 * Runs an attack on a node beside an honest session that goes through it, and looks at what is left of both.
 * @returns how often the node counted the reason meanwhile
 */
async function under(node: number, reason: string, attack: () => Promise<void>): Promise<number> {
  const { pid } = nodes[node] ?? { pid: 0 }
  const counted = await count(node, reason)
  const before = await residentBytes({ pid })
  const honest = mesh.ask(0, REQUEST)
  await attack()
  expect((await honest).tokens).toEqual(expected)
  expect((await mesh.ask(1, REQUEST)).tokens).toEqual(expected)
  expect((await residentBytes({ pid })) - before).toBeLessThan(MAX_GROWTH)
  const { engine, state, pid: now } = await mesh.node(node).service.status()
  expect({ pid: now, state, restarts: engine.restarts }).toEqual({ pid, state: 'online', restarts: 0 })
  return (await count(node, reason)) - counted
}

/** The other side ends every one of these conversations, each on a stream of its own. */
async function repeat(times: number, converse: (index: number) => Promise<Conversation>): Promise<void> {
  for (let i = 0; i < times; i++) await (await converse(i)).end()
}

const open = (node: number, changes: Partial<Open> = {}): Uint8Array => openFrame(node, { manifest, ...changes })
const relayOpen = (session: string, secret: number): Uint8Array =>
  encodeRelayRequest({ type: 'open', session, secret: new Uint8Array(32).fill(secret) })

/** Sends these frames on a stage stream of its own. */
async function stage(from: SwarmPeer, node: number, frames: readonly Uint8Array[]): Promise<Conversation> {
  const conversation = await speak(from, node, STAGE_PROTOCOL)
  for (const frame of frames) conversation.send(frame)
  return conversation
}

/** How a node shows a peer. */
async function viewOf(node: number, { peer }: SwarmPeer): Promise<PeerView | undefined> {
  return (await mesh.node(node).service.peers()).find(view => view.peer === peer)
}

async function expectBanned(node: number, who: SwarmPeer): Promise<void> {
  await waitFor(async () => (await viewOf(node, who))?.path === 'unconnected', { what: 'the ban' })
  expect(await viewOf(node, who)).toMatchObject({ state: 'banned' })
  await expect(who.swarm.connect(peerOf(node))).rejects.toThrow()
  const { stdout } = await mesh.run(node, ['peers'])
  expect(stdout).toContain('banned for')
}

describe('frames', () => {
  it.each([STAGE_PROTOCOL, RELAY_PROTOCOL])('too large for %s are refused before they are kept', async protocol => {
    await using peer = await attacker()
    const counted = await under(1, 'TOO_LARGE', () =>
      repeat(REPEAT, async () => {
        const conversation = await speak(peer, 1, protocol)
        // A length of 4 GiB, and some of it.
        conversation.sendRaw(Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0x0f))
        conversation.sendRaw(new Uint8Array(1024 * 1024))
        return conversation
      })
    )
    expect(counted).toBe(REPEAT)
  })

  it.each<[string, string, () => Uint8Array[]]>([
    ['of the wrong shape', 'MALFORMED', () => [open(1), stageStep({ rows: 2, input: hidden(1) })]],
    ['with NaN', 'NOT_FINITE', () => [open(1), stageStep({ input: hidden(NaN) })]],
    ['with infinity', 'NOT_FINITE', () => [open(1), stageStep({ input: hidden(-Infinity) })]],
    ['that jump ahead', 'OUT_OF_ORDER', () => [open(1), stageStep({ position: 7, input: hidden(1) })]]
  ])('%s end their session only', async (_what, reason, frames) => {
    await using peer = await attacker()
    const counted = await under(1, reason, () => repeat(REPEAT, () => stage(peer, 1, frames())))
    expect(counted).toBe(REPEAT)
    expect((await viewOf(1, peer))?.state).not.toBe('banned')
  })

  it('that come again are not computed again', async () => {
    await using peer = await attacker()
    await under(0, 'OUT_OF_ORDER', async () => {
      for (let i = 0; i < REPEAT; i++) {
        const conversation = await stage(peer, 0, [open(0), LINK_TO_ORIGIN, stageStep(), stageStep()])
        conversation.send(encodeStageRequest({ type: 'close' }))
        const replies = (await conversation.end()).frames.map(decodeStageReply)
        expect(replies.filter(({ type }) => type === 'forward' || type === 'result').length).toBeLessThanOrEqual(1)
      }
    })
  })

  it('of a broken program get it banned', async () => {
    await using peer = await attacker()
    const counted = await under(0, 'BANNED', async () => {
      for (let i = 0; i <= BAN_SCORE / WEIGHTS.broken; i++) {
        await (await stage(peer, 0, [Uint8Array.of(255, 255, 255)])).end()
      }
    })
    expect(counted).toBe(1)
    await expectBanned(0, peer)
  })
})

describe('sessions of others', () => {
  it('cannot be named by chance', async () => {
    await using peer = await attacker()
    const counted = await under(1, 'UNKNOWN_SESSION', () =>
      repeat(100, async () => {
        const conversation = await speak(peer, 1, RELAY_PROTOCOL)
        conversation.send(relayOpen(randomBytes(16).toString('hex'), 7))
        return conversation
      })
    )
    expect(counted).toBe(100)
  })

  it('are closed to a wrong secret, and whoever guesses is banned', async () => {
    await using victim = await attacker()
    await using peer = await attacker()
    const session = randomBytes(16).toString('hex')
    const counted = await under(1, 'UNAUTHORIZED', async () => {
      const origin = await stage(victim, 1, [open(1, { session })])
      await origin.reply()
      await repeat(MALICE, async () => {
        const conversation = await speak(peer, 1, RELAY_PROTOCOL)
        conversation.send(relayOpen(session, 8))
        return conversation
      })
      origin.send(stageStep({ input: hidden(0.5), want: { ...WANT_NOTHING, rows: 1, candidates: 3 } }))
      expect(decodeStageReply(await origin.reply())).toMatchObject({ type: 'result', result: { sequence: 1 } })
      origin.abort()
    })
    expect(counted).toBe(MALICE)
    await expectBanned(1, peer)
  })
})

it('a thousand streams are too many', async () => {
  await using peer = await attacker()
  // What it takes itself is also what it may open.
  await peer.swarm.handle(STAGE_PROTOCOL, () => undefined, { maxInboundStreams: 2 * STREAMS })
  const conversations: Conversation[] = []
  const counted = await under(1, 'TOO_MANY', async () => {
    for (let tried = 0; tried < STREAMS; tried += STREAMS_AT_ONCE) {
      const opening = Array.from({ length: STREAMS_AT_ONCE }, () => speak(peer, 1, STAGE_PROTOCOL))
      for (const opened of await Promise.allSettled(opening)) {
        if (opened.status === 'fulfilled') conversations.push(opened.value)
      }
    }
  })
  for (const conversation of conversations) conversation.abort()
  expect(counted).toBeGreaterThan(STAGE_LIMITS.streams)
  expect((await viewOf(1, peer))?.state).not.toBe('banned')
})

describe('records', () => {
  const record = (changes: Partial<NodeRecord> = {}): NodeRecord => ({
    swarm: membership.id,
    sequence: Date.now(),
    expires: Date.now() + 120_000,
    name: 'liar',
    agent: 'flambeau/test',
    state: 'online',
    addresses: [],
    hardware: { backend: 'cpu', device: 'test', threads: 1, memoryBytes: 1e9 },
    models: [],
    latencies: [],
    relay: false,
    ...changes
  })

  async function tell(from: SwarmPeer, frame: Parameters<typeof encodeStatusRequest>[0]): Promise<void> {
    const conversation = await speak(from, 1, STATUS_PROTOCOL)
    conversation.send(encodeStatusRequest(frame))
    await conversation.reply()
    conversation.abort()
  }

  it('with forged signatures are refused, and whoever hands them on is banned', async () => {
    await using peer = await attacker()
    const counted = await under(1, 'FORGED_RECORD', async () => {
      for (let i = 0; i < MALICE; i++) {
        const { privateKey } = await createIdentity()
        const envelope = RecordEnvelope.createFromProtobuf(await sealRecord(record(), privateKey)).marshal()
        envelope.set([(envelope.at(-1) ?? 0) ^ 1], envelope.length - 1)
        await tell(peer, { record: undefined, known: [envelope] }).catch(() => undefined)
      }
    })
    expect(counted).toBe(MALICE)
    await expectBanned(1, peer)
  })

  it("of others cannot be told for one's own", async () => {
    await using peer = await attacker()
    const counted = await under(1, 'FORGED_RECORD', async () => {
      const { privateKey } = await createIdentity()
      await tell(peer, { record: await sealRecord(record(), privateKey), known: [] })
    })
    expect(counted).toBe(1)
  })

  it('that have expired do not count, and nobody is banned for a wrong clock', async () => {
    const identity = await createIdentity()
    await using peer = await swarmPeer(membership, identity)
    await peer.swarm.connect(peerOf(1), { addresses: nodes[1]?.addresses ?? [] })
    const late = record({ sequence: Date.now() - 3_600_000, expires: Date.now() - 3_500_000 })
    const counted = await under(1, 'EXPIRED_RECORD', async () => {
      const envelope = await sealRecord(late, identity.privateKey)
      for (let i = 0; i < 50; i++) await tell(peer, { record: envelope, known: [] })
    })
    expect(counted).toBe(50)
    expect((await viewOf(1, peer))?.state).not.toBe('banned')
  })

  it('that lie about layers cost a detour and no answer', async () => {
    await using peer = await attacker()
    // While the honest stage says that it is full, a route can only go through the liar, who is asked once and then avoided.
    const full: Conversation[] = []
    let tried = 0
    await peer.swarm.handle(STAGE_PROTOCOL, async stream => {
      tried += 1
      for (const conversation of full.splice(0)) conversation.abort()
      await waitFor(async () => (await mesh.node(1).service.status()).sessions.served === 0, { what: 'room' })
      stream.abort(new Error('there is nothing here'))
    })
    for (let free = nodes[1]?.shards[0]?.freeContext ?? 0; free > 0; free -= 256) {
      full.push(await stage(peer, 1, [open(1, { context: 256 })]))
    }
    const shardsOf = (node: number): ServedShard[] => {
      const known = peer.swarm.directory.nodes().find(view => view.peer === peerOf(node))
      return known?.record.models.find(model => model.manifest === manifest)?.shards ?? []
    }
    const saysFull = async (): Promise<boolean> => {
      await peer.swarm.directory.refresh()
      return shardsOf(1)[0]?.freeContext === 0
    }
    await waitFor(saysFull, { what: 'the honest stage to say that it is full', limit: FULL_LIMIT, interval: 200 })
    const [shard] = shardsOf(1)
    if (shard === undefined) throw new Error('the honest stage is not known')
    const held = { manifest, name: 'tiny', architecture: 'llama', layers: 8, cuts: [4], pieces: [] }
    const models = [{ ...held, shards: [{ ...shard, freeContext: 100_000, freeSessions: 8 }] }]
    await peer.swarm.announce({ name: 'liar', state: 'online', hardware: record().hardware, models })
    await waitFor(async () => (await viewOf(0, peer))?.shards.length === 1, { what: 'the lie to be known' })
    await under(0, 'BANNED', () => Promise.resolve())
    expect(tried).toBeGreaterThan(0)
  })
})

describe('models', () => {
  it('with wrong pieces are not taken', async () => {
    await using liar = await pieceHolder(
      membership,
      { file: EMBER, name: 'ember', cuts: [1, 2, 3, 4, 5, 6, 7] },
      hash => (liar.tensorPieces.has(hash) ? 'wrong' : 'right')
    )
    const counted = await under(0, 'WRONG_PIECE', async () => {
      await waitFor(async () => (await count(0, 'WRONG_PIECE')) > 0, { what: 'a wrong piece', limit: FETCH_LIMIT })
    })
    expect(counted).toBeGreaterThan(0)
  })

  it.each<[string, string, number]>([
    ['that are too large', 'WRONG_PIECE', MAX_MANIFEST_BYTES + 1024 * 1024],
    ['that are huge and no manifests', 'LYING_MANIFEST', MAX_MANIFEST_BYTES]
  ])('with manifests %s are not taken, and get their peer banned', async (_what, reason, bytes) => {
    const contents = new Map(
      Array.from({ length: MALICE }, (_, i) => {
        const data = new Uint8Array(bytes).fill(i + 1)
        return [toHex(createHash('sha256').update(data).digest()), data]
      })
    )
    const none = new Uint8Array(0)
    await using liar = await falseOffers(membership, [...contents.keys()], id => contents.get(id) ?? none)
    const counted = await under(0, reason, async () => {
      const enough = async (): Promise<boolean> => (await viewOf(0, liar))?.state === 'banned'
      await waitFor(enough, { what: 'the ban', limit: FETCH_LIMIT })
    })
    expect(counted).toBe(MALICE)
  })
})

it('streams that say nothing, or hardly anything, end by themselves', async () => {
  const replies = await Promise.all([...lingering, dripping].map(conversation => conversation.end()))
  expect(replies).toHaveLength(5)
  expect(await count(1, 'TIMEOUT')).toBeGreaterThanOrEqual(5)
  expect((await viewOf(1, patient))?.state).not.toBe('banned')
})

it('everything is free afterwards, and what was refused is shown', async () => {
  await waitFor(async () => (await mesh.status()).every(({ sessions }) => sessions.served === 0), {
    what: 'the sessions to be over'
  })
  const [first, second] = await mesh.status()
  expect(first?.banned).toBeGreaterThan(0)
  expect(second?.shards).toMatchObject([{ sessions: 0 }])
  const { stdout } = await mesh.run(1, ['status'])
  expect(stdout).toMatch(/refused .*FORGED_RECORD/)
  expect(stdout).toMatch(/banned +\d+ peers/)
})
