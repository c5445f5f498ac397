/** Frames that an origin or a stage sends, as a hostile one might. */
import { randomBytes } from 'node:crypto'
import { encodeStageRequest, type Open } from '../../protocol/stage.js'
import type { Step } from '../../protocol/step.js'

/** Of a hidden state of the tiny model. */
export const WIDTH = 64
export const WANT_NOTHING = { rows: 0, candidates: 0, ids: [], logSumExp: false }

/** Asks node 0 for layers 0 to 4 of eight, any other for the rest. */
export function openFrame(node: number, open: Pick<Open, 'manifest'> & Partial<Open>): Uint8Array {
  const session = randomBytes(16).toString('hex')
  const [start, leave] = node === 0 ? [0, 4] : [4, 8]
  const secret = new Uint8Array(32).fill(7)
  return encodeStageRequest({
    type: 'open',
    open: { session, start, leave, secret, dtype: 'f32', context: 64, ...open }
  })
}

/** One token at the beginning. */
export const step = (changes: Partial<Step> = {}): Step => ({
  ...{ sequence: 1, position: 0, rows: 1, want: WANT_NOTHING, timings: [] },
  input: { kind: 'tokens', tokens: Uint32Array.of(5) },
  ...changes
})

export const stageStep = (changes?: Partial<Step>): Uint8Array =>
  encodeStageRequest({ type: 'step', step: step(changes) })

export const LINK_TO_ORIGIN = encodeStageRequest({
  type: 'link',
  link: { next: 'origin', liveFrom: 1, replay: undefined, aside: false }
})

export const hidden = (value: number, rows = 1): Step['input'] => ({
  kind: 'hidden',
  dtype: 'f32',
  bytes: new Uint8Array(new Float32Array(rows * WIDTH).fill(value).buffer)
})

export const GARBAGE = Uint8Array.from({ length: 300 }, (_, i) => (i * 89 + 255) & 255)
/** The length of a frame of 4 GiB, and a little of it. */
export const OVERSIZED = Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0x0f, 1, 2, 3)
