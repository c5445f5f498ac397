import type { Stream } from '@libp2p/interface'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { MAX_STAGE_FRAME_BYTES } from '../../../protocol/limits.js'
import {
  decodeRelayReply,
  decodeStageReply,
  encodeRelayRequest,
  encodeStageRequest,
  type RelayReply,
  type StageReply
} from '../../../protocol/stage.js'
import { CLOSE_MS, FIRST_FRAME_MS, MAX_UNSENT_BYTES } from '../../../node/pipeline/constants.js'
import { serveRelay, serveStage } from '../../../node/pipeline/stage-streams.js'
import { frames, type FrameStream } from '../../../node/swarm/wire.js'
import { yamuxPair } from '../swarm/stream-pair.js'
import { connect, hiddenStep, hostBench, open, settled, tokenStep, WANT_NOTHING, type HostBench } from './sessions.js'
import { connectionFrom } from './toy-mesh.js'

/** Somebody at the other end of a served stream. */
interface Stranger<Reply> {
  stream: Stream
  channel: FrameStream
  replies: Reply[]
  /** Resolves when the serving side is through with the stream. */
  served: Promise<void>
}

const opened: Stream[] = []
afterEach(() => {
  for (const stream of opened.splice(0)) stream.abort(new Error('the test is over'))
})

async function stranger<Reply>(serve: (far: Stream) => Promise<void>, decode: (frame: Uint8Array) => Reply) {
  const [stream, far] = await yamuxPair()
  opened.push(stream, far)
  const replies: Reply[] = []
  const channel = frames(stream, {
    maxFrameBytes: MAX_STAGE_FRAME_BYTES,
    onFrame: frame => replies.push(decode(frame)),
    onEnd: () => void channel.close().catch(() => undefined)
  })
  return { stream, channel, replies, served: serve(far) }
}

const atStage = (host: HostBench['host']): Promise<Stranger<StageReply>> =>
  stranger(far => serveStage(host)(far, connectionFrom('stranger')), decodeStageReply)

const atRelay = (host: HostBench['host']): Promise<Stranger<RelayReply>> =>
  stranger(far => serveRelay(host)(far, connectionFrom('stranger')), decodeRelayReply)

/** Length prefix and bytes. */
const framed = (bytes: Uint8Array): Uint8Array => Uint8Array.of(bytes.length, ...bytes)

const faultsOf = (replies: readonly { type: string; fault?: { code: string } }[]): (string | undefined)[] =>
  replies.flatMap(reply => (reply.type === 'fault' ? [reply.fault?.code] : []))

/** Layers 3 to 6, with the session of somebody honest under way. */
async function bench() {
  const host = await hostBench({ start: 3, end: 6 })
  const honest = connect(host.host, 'honest')
  const opening = open({ start: 3 })
  honest.port.receive({ type: 'open', open: opening })
  let sequence = 0
  const goesOn = async (): Promise<void> => {
    honest.port.receive({ type: 'step', step: hiddenStep(++sequence, sequence - 1, [1, 2, 3, 4]) })
    await vi.waitFor(() => expect(honest.replies.at(-1)).toMatchObject({ result: { sequence } }))
    expect(honest.faults).toEqual([])
    honest.port.close()
    await settled()
    expect(host.host.sessions).toBe(0)
    expect(host.engine.held).toBe(0)
  }
  return { ...host, opening, goesOn }
}

const PREFIX_TOO_LARGE = Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0x0f)
const PREFIX_TOO_LONG = Uint8Array.of(0x80, 0x80, 0x80, 0x80, 0x80, 0x80)
const TRUNCATED = Uint8Array.of(100, 1, 2, 3)

describe.each(['stage', 'relay'] as const)('the %s protocol against strangers', kind => {
  const at = (host: HostBench['host']): Promise<Stranger<StageReply | RelayReply>> =>
    kind === 'stage' ? atStage(host) : atRelay(host)

  it.each([
    ['an oversized length prefix', PREFIX_TOO_LARGE, 'TOO_LARGE'],
    ['an endless length prefix', PREFIX_TOO_LONG, 'MALFORMED']
  ])('resets a stream with %s and counts it', async (_, bytes, status) => {
    const { host, goesOn } = await bench()
    const { stream, channel, served } = await at(host)
    stream.send(bytes)
    await served
    expect(await channel.closed).toBeInstanceOf(Error)
    expect(host.refused).toEqual({ [status]: 1 })
    await goesOn()
  })

  it('resets a stream that ends within a frame and counts it', async () => {
    const { host, goesOn } = await bench()
    const { stream, served } = await at(host)
    stream.send(TRUNCATED)
    await stream.close()
    await served
    expect(host.refused).toEqual({ TRUNCATED: 1 })
    await goesOn()
  })

  it.each([
    ['garbage', Uint8Array.of(255, 255, 255), 'MALFORMED'],
    ['an empty frame', new Uint8Array(0), 'MALFORMED'],
    ['an unknown field', Uint8Array.of(0x7a, 1, 0), 'MALFORMED']
  ])('tells why it refuses %s, then ends the stream', async (_, bytes, status) => {
    const { host, goesOn } = await bench()
    const { stream, replies, served } = await at(host)
    stream.send(framed(bytes))
    await served
    expect(faultsOf(replies)).toEqual([status])
    expect(host.refused).toEqual({ [status]: 1 })
    await goesOn()
  })

  it('answers a flood of bad frames once', async () => {
    const { host, goesOn } = await bench()
    const { stream, replies, served } = await at(host)
    stream.send(new Uint8Array(10_000))
    await served
    expect(faultsOf(replies)).toEqual(['MALFORMED'])
    expect(host.refused).toEqual({ MALFORMED: 1 })
    await goesOn()
  })

  it('ends a stream whose frame drips in, and counts it', async () => {
    const { host, goesOn } = await bench()
    const serve = kind === 'stage' ? serveStage : serveRelay
    const { stream, channel, served } = await stranger(
      far => serve(host, { frameMilliseconds: 50 })(far, connectionFrom('stranger')),
      frame => frame
    )
    stream.send(TRUNCATED)
    await served
    expect(await channel.closed).toBeInstanceOf(Error)
    expect(host.refused).toEqual({ SLOW_WRITER: 1 })
    await goesOn()
  })

  it('survives any bytes at all', async () => {
    const { host, goesOn } = await bench()
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async bytes => {
        const { stream, served } = await at(host)
        stream.send(bytes)
        await stream.close()
        await served
        expect(host.sessions).toBe(1)
      }),
      { numRuns: 40 }
    )
    await goesOn()
  })

  it('frees a stream whose other side is gone without a word', async () => {
    const { host, goesOn } = await bench()
    const { stream, served } = await at(host)
    stream.abort(new Error('gone'))
    await served
    expect(host.refused).toEqual({})
    await goesOn()
  })
})

describe('the stage protocol', () => {
  const PART = { start: 3 }

  it('ends the session, and says why, when a later frame is bad', async () => {
    const { host, engine, goesOn } = await bench()
    const { channel, stream, replies, served } = await atStage(host)
    channel.send(encodeStageRequest({ type: 'open', open: open(PART) }))
    await vi.waitFor(() => expect(host.sessions).toBe(2))
    stream.send(framed(Uint8Array.of(255)))
    await served
    expect(replies.map(({ type }) => type)).toEqual(['opened', 'fault'])
    expect([host.sessions, engine.released.length, host.refused]).toEqual([1, 1, { MALFORMED: 1 }])
    await goesOn()
  })

  it.each([
    ['a frame out of turn', 'OUT_OF_ORDER', [hiddenStep(1, 0, [1, 2, 3, 4]), hiddenStep(3, 1, [1, 2, 3, 4])]],
    ['NaN', 'NOT_FINITE', [hiddenStep(1, 0, [1, NaN, 3, 4])]],
    ['infinity', 'NOT_FINITE', [hiddenStep(1, 0, [1, -Infinity, 3, 4])]],
    ['the width of another model', 'MALFORMED', [{ ...hiddenStep(1, 0, [1, 2, 3, 4]), rows: 2 }]],
    ['tokens for a stage in the middle', 'MALFORMED', [tokenStep(1, 0, [1])]]
  ])('tells why it refuses %s and frees the session', async (_, status, steps) => {
    const { host, goesOn } = await bench()
    const { channel, replies, served } = await atStage(host)
    channel.send(encodeStageRequest({ type: 'open', open: open(PART) }))
    for (const step of steps) channel.send(encodeStageRequest({ type: 'step', step }))
    await served
    expect(faultsOf(replies)).toEqual([status])
    expect(host.refused).toEqual({ [status]: 1 })
    await goesOn()
  })

  it.each(['half-closes', 'says close'] as const)('frees the session of an origin that %s', async how => {
    const { host, goesOn } = await bench()
    const { channel, served } = await atStage(host)
    channel.send(encodeStageRequest({ type: 'open', open: open(PART) }))
    await vi.waitFor(() => expect(host.sessions).toBe(2))
    if (how === 'half-closes') await channel.close()
    else channel.send(encodeStageRequest({ type: 'close' }))
    await served
    expect([host.sessions, host.refused]).toEqual([1, {}])
    await goesOn()
  })

  it('gives up an origin that reads nothing of what it asks for', async () => {
    const { host, goesOn } = await bench()
    const { channel, replies, served } = await atStage(host)
    channel.send(encodeStageRequest({ type: 'open', open: open({ ...PART, context: 64 }) }))
    await vi.waitFor(() => expect(replies).toHaveLength(1))
    channel.pause()
    const want = { rows: 64, candidates: 61, ids: new Array<number>(1_024).fill(1), logSumExp: false }
    const rows = new Array<number>(64 * 4).fill(1)
    const state = { over: false }
    void served.then(() => (state.over = true))
    for (let n = 1; !state.over && n * 500_000 < 10 * MAX_UNSENT_BYTES; n++) {
      channel.send(encodeStageRequest({ type: 'step', step: hiddenStep(n, 0, rows, want) }))
      await settled()
    }
    await served
    expect([host.sessions, host.refused]).toEqual([1, { SLOW_READER: 1 }])
    await goesOn()
  })
})

describe('the relay protocol', () => {
  it('admits nobody without the secret, to no session but the one it is for', async () => {
    const { host, opening, goesOn } = await bench()
    const { session, secret } = opening
    const tries: [Uint8Array, string, string][] = [
      [new Uint8Array(32), session, 'UNAUTHORIZED'],
      [secret, 'ff'.repeat(16), 'UNKNOWN_SESSION']
    ]
    for (const [key, id, status] of tries) {
      const { channel, replies, served } = await atRelay(host)
      channel.send(encodeRelayRequest({ type: 'open', session: id, secret: key }))
      channel.send(encodeRelayRequest({ type: 'step', step: hiddenStep(1, 0, [1, 2, 3, 4]) }))
      await served
      expect(faultsOf(replies)).toEqual([status])
    }
    expect(host.refused).toEqual({ UNAUTHORIZED: 1, UNKNOWN_SESSION: 1 })
    await goesOn()
  })

  it('takes no step before the session is named', async () => {
    const { host, goesOn } = await bench()
    const { channel, replies, served } = await atRelay(host)
    channel.send(encodeRelayRequest({ type: 'step', step: hiddenStep(1, 0, [1, 2, 3, 4]) }))
    await served
    expect(faultsOf(replies)).toEqual(['UNAUTHORIZED'])
    await goesOn()
  })

  /** A relay that was admitted to a session of its own. */
  async function admitted(host: HostBench['host']) {
    const origin = connect(host, 'origin')
    const opening = open({ start: 3 })
    origin.port.receive({ type: 'open', open: opening })
    const relay = await atRelay(host)
    relay.channel.send(encodeRelayRequest({ type: 'open', session: opening.session, secret: opening.secret }))
    await vi.waitFor(() => expect(relay.replies).toEqual([{ type: 'linked' }]))
    return { ...relay, origin, opening }
  }

  it.each([
    ['garbage', 'MALFORMED', (stream: Stream) => stream.send(framed(Uint8Array.of(255)))],
    ['an oversized length prefix', 'TOO_LARGE', (stream: Stream) => stream.send(PREFIX_TOO_LARGE)],
    ['a second open', 'MALFORMED', (stream: Stream) => stream.send(framed(secondOpen()))]
  ])('ends the session that it feeds with %s, and the origin is told, once', async (_, status, attack) => {
    const { host, goesOn } = await bench()
    const { stream, origin, served } = await admitted(host)
    attack(stream)
    await served
    expect(origin.faults).toEqual([status])
    expect(host.refused).toEqual({ [status]: 1 })
    expect(host.sessions).toBe(1)
    await goesOn()
  })

  it('feeds the session, and ends with it', async () => {
    const { host, goesOn } = await bench()
    const { channel, origin, served } = await admitted(host)
    channel.send(encodeRelayRequest({ type: 'step', step: hiddenStep(1, 0, [1, 2, 3, 4], WANT_NOTHING) }))
    await vi.waitFor(() => expect(origin.replies.at(-1)).toMatchObject({ type: 'result', result: { sequence: 1 } }))
    origin.port.close()
    await served
    expect(host.refused).toEqual({})
    await goesOn()
  })

  it('gives way to a newer relay of the same session', async () => {
    const { host, goesOn } = await bench()
    const old = await admitted(host)
    const { session, secret } = old.opening
    const newer = await atRelay(host)
    newer.channel.send(encodeRelayRequest({ type: 'open', session, secret }))
    await old.served
    newer.channel.send(encodeRelayRequest({ type: 'step', step: hiddenStep(1, 0, [1, 2, 3, 4]) }))
    await vi.waitFor(() => expect(old.origin.replies.at(-1)).toMatchObject({ type: 'result' }))
    old.origin.port.close()
    await newer.served
    await goesOn()
  })
})

describe('a stream on which nothing comes', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  })
  afterEach(() => {
    vi.useRealTimers()
  })

  it.each([
    ['stage', atStage],
    ['relay', atRelay]
  ] as const)('is refused with TIMEOUT (%s)', async (_, at) => {
    const { host } = await hostBench({ start: 3, end: 6 })
    const { replies, served } = await at(host)
    await vi.advanceTimersByTimeAsync(FIRST_FRAME_MS)
    await vi.waitFor(() => expect(faultsOf(replies)).toEqual(['TIMEOUT']))
    await vi.advanceTimersByTimeAsync(CLOSE_MS)
    await served
    await vi.advanceTimersByTimeAsync(2 * FIRST_FRAME_MS)
    expect(host.refused).toEqual({ TIMEOUT: 1 })
  })

  it('is reset when the other side does not close it either', async () => {
    const { host } = await hostBench({ start: 3, end: 6 })
    const [stream, far] = await yamuxPair()
    opened.push(stream, far)
    const served = serveStage(host)(far, connectionFrom('stranger'))
    await vi.advanceTimersByTimeAsync(FIRST_FRAME_MS + CLOSE_MS)
    await served
    expect(far.status).toBe('aborted')
  })
})

function secondOpen(): Uint8Array {
  return encodeRelayRequest({ type: 'open', session: '00'.repeat(16), secret: new Uint8Array(32) })
}
