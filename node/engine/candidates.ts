import type { RowCandidates, Want } from './types.js'

/** Terms this far below the largest logit change a log-sum-exp by less than one part in 10^13 even for 2^18 tokens. */
const NEGLIGIBLE = 44

/**
 * The best `want.candidates` tokens of one row, best first (equal logits: lower id first), then the tokens in
 * `want.ids`, in the order asked. Returns undefined when a logit is NaN or positive infinity.
 * @param logits `[vocabulary]`; not kept.
 */
export function selectCandidates(logits: Float32Array, want: Want): RowCandidates | undefined {
  const count = Math.min(want.candidates, logits.length)
  const largest = indexOfLargest(logits)
  if (largest === undefined) return undefined
  const best = count === 0 ? [] : count === 1 ? [largest] : bestIds(logits, count)
  const ids = Uint32Array.from([...best, ...want.ids])
  return {
    ids,
    logits: Float32Array.from(ids, id => logits[id] ?? NaN),
    logSumExp: want.logSumExp ? logSumExp(logits, logits[largest] ?? NaN) : undefined
  }
}

function indexOfLargest(logits: Float32Array): number | undefined {
  let best = -1
  let value = -Infinity
  for (let id = 0; id < logits.length; id++) {
    const logit = logits[id] ?? NaN
    if (logit <= value && best >= 0) continue
    if (Number.isNaN(logit)) return undefined
    best = id
    value = logit
  }
  return value === Infinity ? undefined : best
}

function logSumExp(logits: Float32Array, largest: number): number {
  if (largest === -Infinity) return -Infinity
  let sum = 0
  for (const logit of logits) {
    const difference = logit - largest
    if (difference > -NEGLIGIBLE) sum += Math.exp(difference)
  }
  return largest + Math.log(sum)
}

/** A heap whose root is the worst of the `count` best so far: most logits are passed over after one comparison. */
function bestIds(logits: Float32Array, count: number): number[] {
  const heap: number[] = []
  const value = (id: number): number => logits[id] ?? -Infinity
  const worse = (a: number, b: number): boolean => value(a) < value(b) || (value(a) === value(b) && a > b)
  for (let id = 0; id < count; id++) heap.push(id)
  for (let at = (count >> 1) - 1; at >= 0; at--) sink(heap, at, worse)
  let floor = value(heap[0] ?? 0)
  for (let id = count; id < logits.length; id++) {
    // An equal logit with a higher id is worse than what the heap has.
    if (value(id) <= floor) continue
    heap[0] = id
    sink(heap, 0, worse)
    floor = value(heap[0])
  }
  return heap.sort((a, b) => value(b) - value(a) || a - b)
}

function sink(heap: number[], from: number, worse: (a: number, b: number) => boolean): void {
  let at = from
  for (;;) {
    let child = 2 * at + 1
    const [left, right] = [heap[child], heap[child + 1]]
    const parent = heap[at]
    if (left === undefined || parent === undefined) return
    let lesser = left
    if (right !== undefined && worse(right, left)) {
      child++
      lesser = right
    }
    if (!worse(lesser, parent)) return
    heap[at] = lesser
    heap[child] = parent
    at = child
  }
}
