import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { GenerateRequest, StatusView } from '../../node/control/contract.js'
import { membershipFromInvitation } from '../../node/swarm/membership.js'
import { HELLO_PROTOCOL, PIECES_PROTOCOL, RELAY_PROTOCOL, STAGE_PROTOCOL, STATUS_PROTOCOL } from '../../protocol/ids.js'
import { decodePiece, encodePiecesRequest } from '../../protocol/pieces.js'
import { decodeRelayReply, decodeStageReply, encodeRelayRequest, type Open } from '../../protocol/stage.js'
import { type Mesh, startMesh } from '../support/mesh.js'
import {
  GARBAGE,
  hidden,
  LINK_TO_ORIGIN,
  openFrame,
  OVERSIZED,
  stageStep,
  step,
  WANT_NOTHING
} from '../support/stage-frames.js'
import { type SwarmPeer, swarmPeer } from '../support/swarm-peer.js'
import { type Conversation, talk } from '../support/talk.js'
import { type TemporaryFolder, temporaryFolder } from '../support/temporary.js'
import { writeTinyModel } from '../support/tiny-model.js'
import { waitFor } from '../support/wait-for.js'

const REQUEST: GenerateRequest = {
  model: 'tiny',
  prompt: 'the',
  sampling: { temperature: 0, maxTokens: 12 },
  dtype: 'f32'
}

let folder: TemporaryFolder
let mesh: Mesh
let attacker: SwarmPeer
let manifest: string
let expected: number[]
let before: StatusView[]

beforeAll(async () => {
  folder = await temporaryFolder()
  const { file } = await writeTinyModel(folder.file('tiny.gguf'), { architecture: 'llama' })
  mesh = await startMesh({ nodes: [{ layers: '0-4' }, { layers: '4-8' }], models: [{ file, name: 'tiny' }] })
  before = await mesh.status()
  manifest = before[0]?.shards[0]?.manifest ?? ''
  expected = (await mesh.ask(0, REQUEST)).tokens
  attacker = await swarmPeer(membershipFromInvitation(mesh.invitation))
  for (const { peer } of before) {
    const { addresses } = before.find(view => view.peer === peer) ?? { addresses: [] }
    await attacker.swarm.connect(peer, { addresses })
  }
})

afterAll(async () => {
  await attacker[Symbol.asyncDispose]()
  await mesh[Symbol.asyncDispose]()
  await folder.remove()
})

/** Refusals of a node by status, and whether it is as it was otherwise. */
async function refusals(node: number): Promise<Record<string, number>> {
  const { refused, pid, engine, state } = await mesh.node(node).service.status()
  expect({ pid, state, restarts: engine.restarts }).toEqual({ pid: before[node]?.pid, state: 'online', restarts: 0 })
  return refused
}

async function speak(node: number, protocol: string): Promise<Conversation> {
  return await talk(attacker.swarm, { peer: before[node]?.peer ?? '', protocol })
}

const open = (node: number, changes: Partial<Open> = {}): Uint8Array => openFrame(node, { manifest, ...changes })

describe('the stage protocol', () => {
  it.each<[string, number, string, () => Uint8Array[]]>([
    ['garbage', 0, 'MALFORMED', () => [GARBAGE]],
    ['an empty frame', 0, 'MALFORMED', () => [new Uint8Array(0)]],
    ['a step before it is open', 0, 'UNKNOWN_SESSION', () => [stageStep()]],
    ['a model that is not here', 0, 'UNKNOWN_MODEL', () => [open(0, { manifest: 'ab'.repeat(32) })]],
    ["layers of another node's", 0, 'UNKNOWN_MODEL', () => [open(1)]],
    ['more context than there is', 0, 'CONTEXT_FULL', () => [open(0, { context: 100_000 })]],
    ['a second open', 0, 'MALFORMED', () => [open(0), open(0)]],
    ['a step out of order', 0, 'OUT_OF_ORDER', () => [open(0), LINK_TO_ORIGIN, stageStep({ sequence: 3 })]],
    ['a gap in the positions', 0, 'OUT_OF_ORDER', () => [open(0), LINK_TO_ORIGIN, stageStep({ position: 7 })]],
    ['a position outside what it reserved', 1, 'OUT_OF_ORDER', () => [open(1), stageStep({ position: 64 })]],
    ['a token that does not exist', 0, 'MALFORMED', () => [open(0), LINK_TO_ORIGIN, unknownToken()]],
    [
      'hidden states for the first layer',
      0,
      'MALFORMED',
      () => [open(0), LINK_TO_ORIGIN, stageStep({ input: hidden(1) })]
    ],
    ['tokens for a later layer', 1, 'MALFORMED', () => [open(1), stageStep()]],
    ['hidden states of another width', 1, 'MALFORMED', () => [open(1), stageStep({ rows: 2, input: hidden(1) })]],
    ['hidden states that are no numbers', 1, 'NOT_FINITE', () => [open(1), stageStep({ input: hidden(NaN) })]],
    ['infinite hidden states', 1, 'NOT_FINITE', () => [open(1), stageStep({ input: hidden(Infinity) })]]
  ])('closes a stream with %s, says why and counts it', async (_what, node, code, make) => {
    const counted = (await refusals(node))[code] ?? 0
    const conversation = await speak(node, STAGE_PROTOCOL)
    for (const frame of make()) conversation.send(frame)
    const { frames } = await conversation.end()
    const last = decodeStageReply(frames.at(-1) ?? new Uint8Array(0))
    expect(last).toMatchObject({ type: 'fault', fault: { code } })
    expect((await refusals(node))[code]).toBe(counted + 1)
  })

  it('resets an oversized frame and counts it', async () => {
    const counted = (await refusals(0))['TOO_LARGE'] ?? 0
    const conversation = await speak(0, STAGE_PROTOCOL)
    conversation.sendRaw(OVERSIZED)
    expect(await conversation.end()).toEqual({ frames: [], reset: true })
    expect((await refusals(0))['TOO_LARGE']).toBe(counted + 1)
  })
})

function unknownToken(): Uint8Array {
  return stageStep({ input: { kind: 'tokens', tokens: Uint32Array.of(1_000_000) } })
}

describe('the relay protocol', () => {
  it('admits nobody to a session that it does not know, or without its secret, or before it is named', async () => {
    const origin = await speak(1, STAGE_PROTOCOL)
    const session = randomBytes(16).toString('hex')
    origin.send(open(1, { session }))
    expect(decodeStageReply(await origin.reply())).toMatchObject({ type: 'opened' })
    const admission = (id: string, byte: number): Uint8Array =>
      encodeRelayRequest({ type: 'open', session: id, secret: new Uint8Array(32).fill(byte) })
    const attempts: [string, Uint8Array][] = [
      ['UNKNOWN_SESSION', admission(randomBytes(16).toString('hex'), 7)],
      ['UNAUTHORIZED', admission(session, 8)],
      ['UNAUTHORIZED', encodeRelayRequest({ type: 'step', step: step({ input: hidden(1) }) })],
      ['MALFORMED', GARBAGE]
    ]
    for (const [code, frame] of attempts) {
      const counted = (await refusals(1))[code] ?? 0
      const relay = await speak(1, RELAY_PROTOCOL)
      relay.send(frame)
      const { frames } = await relay.end()
      expect(decodeRelayReply(frames.at(-1) ?? new Uint8Array(0))).toMatchObject({ type: 'fault', fault: { code } })
      expect((await refusals(1))[code]).toBe(counted + 1)
    }
    // The session that they were after is as it was.
    origin.send(stageStep({ input: hidden(0.5), want: { ...WANT_NOTHING, rows: 1, candidates: 3 } }))
    expect(decodeStageReply(await origin.reply())).toMatchObject({ type: 'result', result: { sequence: 1 } })
    origin.abort()
  })

  it('resets an oversized frame', async () => {
    const relay = await speak(1, RELAY_PROTOCOL)
    relay.sendRaw(OVERSIZED)
    expect(await relay.end()).toEqual({ frames: [], reset: true })
  })
})

describe.each([PIECES_PROTOCOL, STATUS_PROTOCOL, HELLO_PROTOCOL])('%s', protocol => {
  it.each([
    ['garbage', 'MALFORMED', 'send', GARBAGE],
    ['oversized frames', 'TOO_LARGE', 'sendRaw', OVERSIZED]
  ] as const)('resets and counts %s', async (_what, reason, send, bytes) => {
    const counted = (await refusals(0))[reason] ?? 0
    const conversation = await speak(0, protocol)
    conversation[send](bytes)
    expect(await conversation.end()).toEqual({ frames: [], reset: true })
    expect((await refusals(0))[reason]).toBe(counted + 1)
  })
})

it('hands over no piece that it does not have', async () => {
  const conversation = await speak(0, PIECES_PROTOCOL)
  const hash = 'cd'.repeat(32)
  conversation.send(encodePiecesRequest({ manifest, hashes: [hash] }))
  expect(decodePiece(await conversation.reply())).toMatchObject({ hash, code: 'UNKNOWN_MODEL' })
  conversation.abort()
})

it('answers as before afterwards, with everything free', async () => {
  await waitFor(async () => (await mesh.status()).every(({ sessions }) => sessions.served === 0), {
    what: 'the sessions to be over'
  })
  for (const i of [0, 1]) expect((await mesh.ask(i, REQUEST)).tokens).toEqual(expected)
  const { refused } = await mesh.node(0).home.json<StatusView>(['status'])
  expect(refused).toEqual((await mesh.node(0).service.status()).refused)
  expect(Object.keys(refused)).toEqual(expect.arrayContaining(['MALFORMED', 'OUT_OF_ORDER', 'TOO_LARGE']))
})
