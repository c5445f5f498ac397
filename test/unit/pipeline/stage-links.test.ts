import type { Stream } from '@libp2p/interface'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { ProtocolError } from '../../../protocol/protocol-error.js'
import { decodeRelayRequest, encodeRelayReply, encodeStageReply, type RelayReply } from '../../../protocol/stage.js'
import { LINK_MS, MAX_UNSENT_BYTES } from '../../../node/pipeline/constants.js'
import { openRelay } from '../../../node/pipeline/relay-link.js'
import { remoteStage } from '../../../node/pipeline/stage-channel.js'
import { frames, type FrameStream } from '../../../node/swarm/wire.js'
import { yamuxPair } from '../swarm/stream-pair.js'
import { hiddenStep, settled } from './sessions.js'

const TARGET = { peer: 'next', addresses: [], session: '01'.repeat(16), secret: new Uint8Array(32).fill(7) }

const opened: Stream[] = []
afterEach(() => {
  vi.useRealTimers()
  for (const stream of opened.splice(0)) stream.abort(new Error('the test is over'))
})

/** A peer that does with the first frame of a stream what the test says. */
async function peer(onFrame: (frame: Uint8Array, far: FrameStream) => void) {
  const [near, farStream] = await yamuxPair()
  opened.push(near, farStream)
  const far: FrameStream = frames(farStream, { maxFrameBytes: 1e8, onFrame: frame => onFrame(frame, far) })
  return { near, far, swarm: { openStream: () => Promise.resolve(near) } }
}

const reply = (message: RelayReply) => (_: Uint8Array, far: FrameStream) => void far.send(encodeRelayReply(message))
const LINKED = reply({ type: 'linked' })

describe('a relay to the next stage', () => {
  it('names the session, then sends hidden states', async () => {
    const received: Uint8Array[] = []
    const { swarm } = await peer((frame, far) => {
      if (received.push(frame) === 1) LINKED(frame, far)
    })
    const relay = await openRelay({ swarm }, TARGET, { onLost: vi.fn(), onReplayed: vi.fn() })
    relay.send(hiddenStep(1, 0, [1, 2, 3, 4]))
    await vi.waitFor(() => expect(received).toHaveLength(2))
    const { session, secret } = TARGET
    expect(decodeRelayRequest(received[0] ?? new Uint8Array(0))).toEqual({ type: 'open', session, secret })
    expect(decodeRelayRequest(received[1] ?? new Uint8Array(0))).toMatchObject({ type: 'step', step: { sequence: 1 } })
  })

  it.each([
    ['a fault', reply({ type: 'fault', fault: { code: 'UNAUTHORIZED', message: 'no' } }), { code: 'UNAUTHORIZED' }],
    ['the end of the stream', (_: Uint8Array, far: FrameStream) => void far.close(), { name: 'Error' }],
    ['a reset', (_: Uint8Array, far: FrameStream) => far.abort(new Error('no')), { name: 'StreamResetError' }],
    ['garbage', (_: Uint8Array, far: FrameStream) => void far.send(Uint8Array.of(255)), { name: 'ProtocolError' }]
  ])('is refused with %s, which is no loss of a stage', async (_, onFrame, error) => {
    const onLost = vi.fn()
    const { near, swarm } = await peer(onFrame)
    await expect(openRelay({ swarm }, TARGET, { onLost, onReplayed: vi.fn() })).rejects.toMatchObject(error)
    await settled()
    expect(near.status).not.toBe('open')
    expect(onLost).not.toHaveBeenCalled()
  })

  it('is given up when the next stage says nothing', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    const onLost = vi.fn()
    const { near, swarm } = await peer(() => undefined)
    const refused = expect(openRelay({ swarm }, TARGET, { onLost, onReplayed: vi.fn() })).rejects.toMatchObject({
      code: 'DEADLINE'
    })
    await vi.advanceTimersByTimeAsync(LINK_MS)
    await refused
    expect(near.status).toBe('aborted')
    expect(onLost).not.toHaveBeenCalled()
  })

  it.each([
    ['resets it', (far: FrameStream) => far.abort(new Error('gone'))],
    [
      'sends a fault',
      (far: FrameStream) => void far.send(encodeRelayReply({ type: 'fault', fault: { code: 'INTERNAL', message: '' } }))
    ],
    ['sends garbage', (far: FrameStream) => void far.send(Uint8Array.of(255))]
  ])('tells once that the stage is lost when it %s later', async (_, attack) => {
    const onLost = vi.fn()
    const { far, swarm } = await peer(LINKED)
    const relay = await openRelay({ swarm }, TARGET, { onLost, onReplayed: vi.fn() })
    attack(far)
    await vi.waitFor(() => expect(onLost).toHaveBeenCalledTimes(1))
    relay.close()
    await settled()
    expect(onLost).toHaveBeenCalledTimes(1)
  })

  it('is no loss when it is closed here', async () => {
    const onLost = vi.fn()
    const { far, swarm } = await peer(LINKED)
    const relay = await openRelay({ swarm }, TARGET, { onLost, onReplayed: vi.fn() })
    relay.close()
    await far.closed
    expect(onLost).not.toHaveBeenCalled()
  })

  it('gives up a stage that takes hidden states and does not read them', async () => {
    const onLost = vi.fn()
    const { far, swarm } = await peer(LINKED)
    const relay = await openRelay({ swarm }, TARGET, { onLost, onReplayed: vi.fn() })
    far.pause()
    const step = hiddenStep(1, 0, new Array<number>(500_000).fill(1))
    const wide = { ...step, rows: 125 }
    for (let sent = 0; sent < 2 * MAX_UNSENT_BYTES && onLost.mock.calls.length === 0; sent += 2e6) relay.send(wide)
    expect(onLost).toHaveBeenCalledTimes(1)
  })
})

describe('the channel to a stage on another node', () => {
  it('hands on what the stage says, and tells once when it is lost', async () => {
    const onReply = vi.fn()
    const onLost = vi.fn()
    const { far, swarm } = await peer((_, stage) => void stage.send(encodeStageReply({ type: 'linked' })))
    const signal = new AbortController().signal
    const channel = await remoteStage({ swarm }, { peer: 'a', addresses: [] }, { onReply, onLost }, { signal })
    channel.send({ type: 'close' })
    await vi.waitFor(() => expect(onReply).toHaveBeenCalledWith({ type: 'linked' }))
    far.send(Uint8Array.of(255))
    await vi.waitFor(() => expect(onLost).toHaveBeenCalledTimes(1))
    expect(onLost.mock.calls[0]?.[0]).toBeInstanceOf(ProtocolError)
    channel.close()
    expect(onLost).toHaveBeenCalledTimes(1)
  })

  it.each([
    ['ends it without a word', (far: FrameStream) => void far.close()],
    ['resets it', (far: FrameStream) => far.abort(new Error('gone'))]
  ])('tells once that the stage is lost when it %s', async (_, leave) => {
    const onLost = vi.fn()
    const { far, swarm } = await peer(() => undefined)
    const handlers = { onReply: () => undefined, onLost }
    const signal = new AbortController().signal
    const channel = await remoteStage({ swarm }, { peer: 'a', addresses: [] }, handlers, { signal })
    leave(far)
    await vi.waitFor(() => expect(onLost).toHaveBeenCalledTimes(1))
    channel.close()
    await far.closed
    expect(onLost).toHaveBeenCalledTimes(1)
  })
})
