import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { flambeau } from '../../../protocol/generated/messages.js'
import { MAX_STAGE_FRAME_BYTES } from '../../../protocol/limits.js'
import type { ProtocolError } from '../../../protocol/protocol-error.js'
import {
  decodeRelayRequest,
  decodeStageReply,
  decodeStageRequest,
  encodeRelayRequest,
  encodeStageReply,
  encodeStageRequest
} from '../../../protocol/stage.js'
import type { Step } from '../../../protocol/step.js'
import { bytes, embeddingStep, filled, hex, hiddenStep, open, PEER, tokenStep } from './samples.js'

const refused = (code: string): ProtocolError =>
  expect.objectContaining({ name: 'ProtocolError', code }) as ProtocolError

const milliseconds = fc.float({ min: 0, max: 3_600_000, noNaN: true })
const timings = fc.array(fc.record({ queued: milliseconds, computed: milliseconds, handled: milliseconds }), {
  maxLength: 64
})
const token = fc.nat(1_048_575)

const steps: fc.Arbitrary<Step> = fc.integer({ min: 1, max: 512 }).chain(rows => {
  const tokens = fc
    .array(token, { minLength: rows, maxLength: rows })
    .map(ids => ({ kind: 'tokens' as const, tokens: Uint32Array.from(ids) }))
  const hidden = fc.record({
    dtype: fc.constantFrom('f16' as const, 'f32' as const),
    width: fc.integer({ min: 1, max: 9 })
  })
  const states = hidden.map(({ dtype, width }) => {
    return { kind: 'hidden' as const, dtype, bytes: filled(rows * width * (dtype === 'f16' ? 2 : 4), 7) }
  })
  const wanted = fc.record({
    rows: fc.integer({ min: 1, max: rows }),
    candidates: fc.nat(1024),
    ids: fc.array(token, { maxLength: 1024 }),
    logSumExp: fc.boolean()
  })
  return fc.record({
    sequence: fc.integer({ min: 1, max: 0xffffffff }),
    position: fc.nat(2 ** 24 - rows),
    rows: fc.constant(rows),
    input: fc.oneof(tokens, states),
    want: fc.oneof(wanted, fc.constantFrom(tokenStep.want, embeddingStep.want)),
    timings
  })
})

describe('a step', () => {
  it('is read as it was written', () => {
    fc.assert(
      fc.property(steps, step => {
        const decoded = decodeRelayRequest(encodeRelayRequest({ type: 'step', step }))
        expect(comparable(decoded)).toEqual(comparable({ type: 'step', step }))
      })
    )
  })

  it('has the bytes that the generated encoder writes', () => {
    fc.assert(
      fc.property(steps, step => {
        const frame = encodeStageRequest({ type: 'step', step })
        const again = flambeau.StageRequest.encode(flambeau.StageRequest.decode(frame)).finish()
        expect(hex(frame)).toBe(hex(again))
      })
    )
  })

  it('carries its hidden states as a view of the frame', () => {
    const frame = Uint8Array.from(encodeStageReply({ type: 'forward', step: hiddenStep }))
    const reply = decodeStageReply(frame)
    if (reply.type !== 'forward' || reply.step.input.kind !== 'hidden')
      return expect.fail('not a step of hidden states')
    expect(reply.step.input.bytes.buffer).toBe(frame.buffer)
  })

  const table: [string, Partial<Step>, string][] = [
    ['has no sequence number', { sequence: 0 }, 'MALFORMED'],
    ['ends beyond the last position', { position: 2 ** 24 - 1 }, 'TOO_LARGE'],
    ['has no rows', { rows: 0 }, 'MALFORMED'],
    ['has too many rows', { rows: 513 }, 'TOO_LARGE'],
    ['has fewer hidden states than rows', { rows: 3 }, 'MALFORMED'],
    ['has no hidden states', { input: { kind: 'hidden', dtype: 'f32', bytes: bytes('') } }, 'MALFORMED'],
    ['is too wide', { rows: 1, input: { kind: 'hidden', dtype: 'f16', bytes: filled(131_074, 0) } }, 'TOO_LARGE'],
    ['has fewer tokens than rows', { input: { kind: 'tokens', tokens: Uint32Array.of(1) } }, 'MALFORMED'],
    ['has an absurd token', { rows: 1, input: { kind: 'tokens', tokens: Uint32Array.of(1 << 20) } }, 'TOO_LARGE'],
    ['wants more rows than it has', { want: { ...hiddenStep.want, rows: 3 } }, 'MALFORMED'],
    ['wants too many candidates', { want: { ...hiddenStep.want, candidates: 1025 } }, 'TOO_LARGE'],
    ['wants too many ids', { want: { ...hiddenStep.want, ids: Array<number>(1025).fill(1) } }, 'TOO_LARGE'],
    ['wants an absurd id', { want: { ...hiddenStep.want, ids: [1 << 20] } }, 'TOO_LARGE'],
    ['wants an embedding and a candidate', { want: { ...embeddingStep.want, candidates: 1 } }, 'MALFORMED'],
    ['wants an embedding and a token', { want: { ...embeddingStep.want, ids: [1] } }, 'MALFORMED'],
    ['wants an embedding and a sum', { want: { ...embeddingStep.want, logSumExp: true } }, 'MALFORMED'],
    ['wants two embeddings', { want: { ...embeddingStep.want, rows: 2 } }, 'MALFORMED'],
    ['has too many timings', { timings: Array(65).fill(hiddenStep.timings[0]) as Step['timings'] }, 'TOO_LARGE'],
    ['has a negative time', { timings: [{ queued: -1, computed: 0, handled: 0 }] }, 'MALFORMED'],
    ['has a time that is no number', { timings: [{ queued: 0, computed: NaN, handled: 0 }] }, 'NOT_FINITE']
  ]

  it.each(table)('that %s is neither written nor read', (_, wrong, code) => {
    const step = { ...hiddenStep, ...wrong }
    expect(() => encodeRelayRequest({ type: 'step', step })).toThrow(refused(code))
    expect(() => decodeRelayRequest(rawStep(step))).toThrow(refused(code))
  })

  it.each([
    ['of unknown kind', { kind: 3 }],
    ['without element type', { dtype: 0 }],
    ['of unknown element type', { dtype: 9 }],
    ['of tokens that are not whole', { kind: 1, payload: filled(7, 0) }]
  ])('%s is refused', (_, wrong) => {
    const step = { sequence: 1, rows: 1, kind: 2, dtype: 2, payload: filled(8, 0), ...wrong }
    expect(() => decodeRelayRequest(flambeau.RelayRequest.encode({ step }).finish())).toThrow(refused('MALFORMED'))
  })
})

describe('an order to open or link', () => {
  it.each([
    ['session', { session: filled(15, 1) }, 'MALFORMED'],
    ['secret', { secret: filled(31, 1) }, 'MALFORMED'],
    ['manifest', { manifest: filled(33, 1) }, 'MALFORMED'],
    ['range', { start: 6 }, 'MALFORMED'],
    ['last layer', { leave: 1025 }, 'TOO_LARGE'],
    ['element type', { dtype: 0 }, 'MALFORMED'],
    ['context of nothing', { context: 0 }, 'MALFORMED'],
    ['context', { context: 2 ** 24 + 1 }, 'TOO_LARGE']
  ])('is refused for its %s', (_, wrong, code) => {
    const { start, leave, secret, context } = open
    const fine = {
      session: bytes(open.session),
      manifest: bytes(open.manifest),
      start,
      leave,
      secret,
      dtype: 2,
      context
    }
    const frame = (body: object): Uint8Array => flambeau.StageRequest.encode({ open: body }).finish()
    expect(decodeStageRequest(frame(fine))).toEqual({
      type: 'open',
      open: { ...open, secret: expect.anything() as Uint8Array }
    })
    expect(() => decodeStageRequest(frame({ ...fine, ...wrong }))).toThrow(refused(code))
  })

  it.each([
    ['peer id', { peer: '../etc' }, 'MALFORMED'],
    ['secret', { secret: filled(0, 0) }, 'MALFORMED'],
    ['number of addresses', { addresses: Array<string>(17).fill('/ip4/1.2.3.4') }, 'TOO_LARGE'],
    ['long address', { addresses: ['/'.repeat(257)] }, 'TOO_LARGE'],
    ['address that drives a terminal', { addresses: ['/dns/\u001b[2J'] }, 'MALFORMED']
  ])('is refused for its %s', (_, wrong, code) => {
    const right = { peer: PEER, addresses: ['/ip4/192.0.2.1/tcp/1'], secret: filled(32, 3), session: filled(16, 4) }
    const link = { ...right, liveFrom: 1, ...wrong }
    expect(() => decodeStageRequest(flambeau.StageRequest.encode({ link }).finish())).toThrow(refused(code))
  })
})

describe('a result', () => {
  const row = { ids: filled(8, 1), logits: filled(8, 1) }
  const frame = (body: object): Uint8Array => flambeau.StageReply.encode({ result: { sequence: 1, ...body } }).finish()

  it('tells a log-sum-exp of zero from none', () => {
    for (const logSumExp of [0, undefined]) {
      const rows = [{ ids: Uint32Array.of(1), logits: Float32Array.of(2), logSumExp }]
      const reply = encodeStageReply({ type: 'result', result: { sequence: 1, rows, timings: [] } })
      expect(decodeStageReply(reply)).toEqual({ type: 'result', result: { sequence: 1, rows, timings: [] } })
    }
  })

  it('is not written with an embedding that nobody would read', () => {
    const none = { ids: new Uint32Array(0), logits: new Float32Array(0), logSumExp: undefined }
    for (const embedding of [Float32Array.of(NaN), Float32Array.of(1, -Infinity), new Float32Array(0)]) {
      const result = { sequence: 1, rows: [{ ...none, embedding }], timings: [] }
      expect(() => encodeStageReply({ type: 'result', result })).toThrow(
        refused(embedding.length > 0 ? 'NOT_FINITE' : 'MALFORMED')
      )
    }
  })

  it.each([
    ['fewer logits than ids', { rows: [{ ...row, logits: filled(4, 1) }] }, 'MALFORMED'],
    ['ids that are not whole', { rows: [{ ids: filled(7, 1), logits: filled(7, 1) }] }, 'MALFORMED'],
    ['too many candidates', { rows: [{ ids: filled(8196, 1), logits: filled(8196, 1) }] }, 'TOO_LARGE'],
    ['too many rows', { rows: Array(513).fill(row) }, 'TOO_LARGE'],
    ['an infinite logit', { rows: [{ ids: filled(4, 0), logits: bytes('0000807f') }] }, 'NOT_FINITE'],
    ['a log-sum-exp that is no number', { rows: [{ ...row, logSumExp: NaN }] }, 'NOT_FINITE'],
    ['an embedding that is not whole', { rows: [{ embedding: filled(7, 1) }] }, 'MALFORMED'],
    ['an embedding that is too wide', { rows: [{ embedding: filled(4 * 65_537, 1) }] }, 'TOO_LARGE'],
    ['an embedding that is infinite', { rows: [{ embedding: bytes('0000807f') }] }, 'NOT_FINITE'],
    ['no sequence number', { sequence: 0 }, 'MALFORMED']
  ])('with %s is refused', (_, body, code) => {
    expect(() => decodeStageReply(frame(body))).toThrow(refused(code))
  })
})

describe('a fault', () => {
  const fault = (code: number): Uint8Array => Uint8Array.of(0x2a, 2, 8, code)

  it('with a number that this version does not know is refused as such', () => {
    for (const code of [0, 99, 127]) {
      expect(() => decodeStageReply(fault(code))).toThrow(refused('UNSUPPORTED'))
    }
    expect(() => decodeStageReply(fault(1))).toThrow(refused('MALFORMED'))
  })

  it('has a message that is short and harmless on a terminal', () => {
    const message = `bad\n\u001b[31m${'é'.repeat(2000)}`
    const reply = decodeStageReply(encodeStageReply({ type: 'fault', fault: { code: 'INTERNAL', message } }))
    if (reply.type !== 'fault') return expect.fail('not a fault')
    expect(reply.fault.message.startsWith('bad [31m')).toBe(true)
    expect(reply.fault.message).not.toContain('\ufffd')
    expect(Buffer.byteLength(reply.fault.message)).toBeLessThanOrEqual(1024)
  })
})

describe('a frame', () => {
  it('above the limit is refused before it is decoded', () => {
    expect(() => decodeStageRequest(new Uint8Array(MAX_STAGE_FRAME_BYTES + 1))).toThrow(refused('TOO_LARGE'))
  })

  it('without a body is refused', () => {
    expect(() => decodeStageRequest(new Uint8Array(0))).toThrow(refused('MALFORMED'))
    expect(() => decodeStageReply(bytes('7a00'))).toThrow(refused('MALFORMED'))
  })

  it('cannot become millions of objects', () => {
    const timings = filled(2 * 100_000, 0).map((_, index) => (index % 2 === 0 ? 0x42 : 0))
    const step = Buffer.concat([bytes('12'), bytes('c09a0c'), timings])
    expect(() => decodeRelayRequest(step)).toThrow(refused('TOO_LARGE'))
    const ids = Array<number>(100_000).fill(1)
    const want = flambeau.RelayRequest.encode({ step: { want: { rows: 1, ids } } }).finish()
    expect(() => decodeRelayRequest(want)).toThrow(refused('TOO_LARGE'))
  })
})

function rawStep({ input, ...step }: Step): Uint8Array {
  const body =
    input.kind === 'tokens'
      ? { kind: 1, payload: new Uint8Array(input.tokens.buffer) }
      : { kind: 2, dtype: input.dtype === 'f32' ? 1 : 2, payload: input.bytes }
  return flambeau.RelayRequest.encode({ step: { ...step, ...body } }).finish()
}

function comparable(request: ReturnType<typeof decodeRelayRequest>): unknown {
  if (request.type !== 'step' || request.step.input.kind !== 'hidden') return request
  const { input, ...step } = request.step
  return { ...step, dtype: input.dtype, bytes: hex(input.bytes) }
}
