import { decodeHello, decodeHelloReply, encodeHello, encodeHelloReply } from '../../../protocol/hello.js'
import { decodeManifest, encodeManifest } from '../../../protocol/manifest.js'
import { decodeNodeRecord, encodeNodeRecord } from '../../../protocol/node-record.js'
import { decodePiece, decodePiecesRequest, encodePiece, encodePiecesRequest } from '../../../protocol/pieces.js'
import {
  decodeRelayReply,
  decodeRelayRequest,
  decodeStageReply,
  decodeStageRequest,
  encodeRelayReply,
  encodeRelayRequest,
  encodeStageReply,
  encodeStageRequest
} from '../../../protocol/stage.js'
import {
  decodeStatusReply,
  decodeStatusRequest,
  encodeStatusReply,
  encodeStatusRequest
} from '../../../protocol/status-reply.js'
import {
  bytes,
  embeddingStep,
  filled,
  HASH,
  hiddenStep,
  manifest,
  open,
  PEER,
  record,
  SWARM,
  tokenStep
} from './samples.js'

export interface Message {
  value: unknown
  encode: () => Uint8Array
  decode: (bytes: Uint8Array) => unknown
}

function message<T>(encode: (value: T) => Uint8Array, decode: (bytes: Uint8Array) => T, value: T): Message {
  return { value, encode: () => encode(value), decode }
}

const next = { peer: PEER, addresses: ['/ip4/192.0.2.1/tcp/1'], secret: filled(32, 3), session: '04'.repeat(16) }
const link = { next, liveFrom: 1, replay: undefined, aside: false }
const result = {
  sequence: 7,
  rows: [{ ids: Uint32Array.of(5, 9), logits: Float32Array.of(1.5, -2), logSumExp: 2.5 }],
  timings: hiddenStep.timings
}
const embedding = {
  ...{ ids: new Uint32Array(0), logits: new Float32Array(0), logSumExp: undefined },
  embedding: Float32Array.of(0.5, -2)
}

/** One of each message. */
export const messages: Record<string, Message> = {
  open: message(encodeStageRequest, decodeStageRequest, { type: 'open', open }),
  link: message(encodeStageRequest, decodeStageRequest, { type: 'link', link }),
  'link that replays': message(encodeStageRequest, decodeStageRequest, {
    type: 'link',
    link: { next, liveFrom: 300, replay: { rowsPerStep: 512, exact: true }, aside: true }
  }),
  'link to the origin': message(encodeStageRequest, decodeStageRequest, {
    type: 'link',
    link: { ...link, next: 'origin' }
  }),
  'replayed, passed on': message(encodeStageRequest, decodeStageRequest, { type: 'replayed', sequence: 7 }),
  'step of tokens': message(encodeStageRequest, decodeStageRequest, { type: 'step', step: tokenStep }),
  'step for an embedding': message(encodeStageRequest, decodeStageRequest, { type: 'step', step: embeddingStep }),
  close: message(encodeStageRequest, decodeStageRequest, { type: 'close' }),
  rest: message(encodeStageRequest, decodeStageRequest, { type: 'rest' }),
  resume: message(encodeStageRequest, decodeStageRequest, { type: 'resume', context: 300 }),
  opened: message(encodeStageReply, decodeStageReply, { type: 'opened', rowsPerStep: 512 }),
  linked: message(encodeStageReply, decodeStageReply, { type: 'linked' }),
  forward: message(encodeStageReply, decodeStageReply, { type: 'forward', step: hiddenStep }),
  result: message(encodeStageReply, decodeStageReply, { type: 'result', result }),
  'result with an embedding': message(encodeStageReply, decodeStageReply, {
    type: 'result',
    result: { sequence: 7, rows: [embedding], timings: [] }
  }),
  fault: message(encodeStageReply, decodeStageReply, { type: 'fault', fault: { code: 'BUSY', message: 'full' } }),
  'relay open': message(encodeRelayRequest, decodeRelayRequest, {
    type: 'open',
    session: open.session,
    secret: open.secret
  }),
  'relay step': message(encodeRelayRequest, decodeRelayRequest, { type: 'step', step: hiddenStep }),
  replayed: message(encodeStageReply, decodeStageReply, { type: 'replayed', sequence: 7 }),
  unlinked: message(encodeStageReply, decodeStageReply, { type: 'unlinked', message: 'reset' }),
  'caught up': message(encodeStageReply, decodeStageReply, { type: 'caught-up' }),
  resumed: message(encodeStageReply, decodeStageReply, { type: 'resumed' }),
  drain: message(encodeStageReply, decodeStageReply, { type: 'drain', milliseconds: 30_000 }),
  'relay replay': message(encodeRelayRequest, decodeRelayRequest, {
    type: 'step',
    step: { ...hiddenStep, want: { rows: 0, candidates: 0, ids: [], logSumExp: false }, timings: [], replay: true }
  }),
  'relay replayed': message(encodeRelayReply, decodeRelayReply, { type: 'replayed', sequence: 7 }),
  'relay linked': message(encodeRelayReply, decodeRelayReply, { type: 'linked' }),
  'relay fault': message(encodeRelayReply, decodeRelayReply, {
    type: 'fault',
    fault: { code: 'UNAUTHORIZED', message: '' }
  }),
  hello: message(encodeHello, decodeHello, { swarm: SWARM, agent: 'flambeau/0.1.0' }),
  'hello reply': message(encodeHelloReply, decodeHelloReply, {
    code: 'WRONG_SWARM',
    message: 'no',
    agent: 'flambeau/0.1.0'
  }),
  'status request': message(encodeStatusRequest, decodeStatusRequest, {
    record: bytes('0102'),
    known: [bytes('03')]
  }),
  'status reply': message(encodeStatusReply, decodeStatusReply, { record: bytes('0102'), known: [bytes('03')] }),
  'pieces request': message(encodePiecesRequest, decodePiecesRequest, { manifest: HASH, hashes: [HASH] }),
  piece: message(encodePiece, decodePiece, { hash: HASH, code: 'OK', data: bytes('deadbeef') }),
  manifest: message(encodeManifest, decodeManifest, manifest),
  'node record': message(encodeNodeRecord, decodeNodeRecord, record)
}
