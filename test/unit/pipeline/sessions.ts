import { ProtocolError } from '../../../protocol/protocol-error.js'
import type { Link, NextStage, Open, StageReply } from '../../../protocol/stage.js'
import type { Step, Want } from '../../../protocol/step.js'
import type { HiddenStateSink, RelayHandlers } from '../../../node/pipeline/relay-link.js'
import { ShardRegistry } from '../../../node/pipeline/shard-registry.js'
import { Trust } from '../../../node/trust/trust.js'
import { StageHost, type StagePort } from '../../../node/pipeline/stage-host.js'
import { LayerEngine, WIDTH } from './layer-engine.js'
import { LAYERS, MANIFEST } from './toy-mesh.js'

export const WANT_ONE: Want = { rows: 1, candidates: 1, ids: [], logSumExp: false }
export const WANT_NOTHING: Want = { rows: 0, candidates: 0, ids: [], logSumExp: false }

let opened = 0

/** The whole model in one stage, unless said otherwise. */
export function open(changes: Partial<Open> = {}): Open {
  const session = (++opened).toString(16).padStart(32, '0')
  const secret = new Uint8Array(32).fill(opened)
  return { session, manifest: MANIFEST, start: 0, leave: LAYERS, secret, dtype: 'f32', context: 32, ...changes }
}

/** Where a stage sends its hidden states, from the first step on. */
export function link(next: NextStage | 'origin', changes: Partial<Link> = {}): Link {
  return { next, liveFrom: 1, replay: undefined, aside: false, ...changes }
}

export function tokenStep(sequence: number, position: number, tokens: number[], want = WANT_ONE): Step {
  const input = { kind: 'tokens' as const, tokens: Uint32Array.from(tokens) }
  return { sequence, position, rows: tokens.length, input, want, timings: [] }
}

export function hiddenStep(sequence: number, position: number, values: number[], want = WANT_ONE): Step {
  const bytes = new Uint8Array(Float32Array.from(values).buffer)
  const input = { kind: 'hidden' as const, dtype: 'f32' as const, bytes }
  return { sequence, position, rows: values.length / WIDTH, input, want, timings: [] }
}

/** A stage's host with the relays that it opens in the test's hands. */
export interface HostBench {
  engine: LayerEngine
  shards: ShardRegistry
  host: StageHost
  clock: { now: number }
  trust: Trust
  relays: { target: NextStage; sent: Step[]; closed: boolean; lose: (error: Error) => void; replayed: () => void }[]
  /** Throw here to be unreachable. */
  beforeRelay: { run: () => unknown }
}

export async function hostBench(
  range = { start: 0, end: LAYERS },
  settings = { context: 256, sequences: 4, batch: 64 }
): Promise<HostBench> {
  const engine = new LayerEngine()
  const relays: HostBench['relays'] = []
  const clock = { now: 1_000 }
  const shards = new ShardRegistry({ engine, now: () => clock.now }, settings)
  const beforeRelay: HostBench['beforeRelay'] = { run: () => undefined }
  const openRelay = async (target: NextStage, { onLost, onReplayed }: RelayHandlers): Promise<HiddenStateSink> => {
    await beforeRelay.run()
    const relay = { target, sent: [] as Step[], closed: false, lose: onLost, replayed: onReplayed }
    relays.push(relay)
    return { send: step => relay.sent.push(step), close: () => (relay.closed = true) }
  }
  const trust = new Trust({ now: () => clock.now }, { self: 'self' })
  const isStage = (peer: string): boolean => peer.startsWith('stage')
  const host = new StageHost({ shards, openRelay, trust, self: 'self', isStage, now: () => clock.now })
  await shards.serve({ manifest: MANIFEST, file: { file: 'toy', architecture: 'toy', ...range, layers: LAYERS } })
  engine.steps.length = 0
  engine.released.length = 0
  return { engine, shards, host, clock, trust, relays, beforeRelay }
}

export interface Origin {
  port: StagePort
  replies: StageReply[]
  /** Status codes of the faults that came, in order. */
  faults: string[]
}

/** An origin at the other end of a stage. */
export function connect(host: StageHost, peer = 'peer'): Origin {
  const replies: StageReply[] = []
  const faults: string[] = []
  const port = host.connect(peer, reply => {
    replies.push(reply)
    if (reply.type === 'fault') faults.push(reply.fault.code)
  })
  return { port, replies, faults }
}

/** Lets everything that waits for nothing but promises happen. */
export async function settled(): Promise<void> {
  await new Promise(resolve => setImmediate(resolve))
}

/** The status with which a call refuses. */
export function refusalOf(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    if (error instanceof ProtocolError) return error.code
    throw error
  }
  return 'none'
}
