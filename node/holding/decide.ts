import { Worker } from 'node:worker_threads'
import type { Rebalance, RebalanceRequest } from '../scheduler/types.js'
import { abortable, deadline } from '../deadline.js'

/** Far above what the searches for a plan may take; in a swarm of thousands a look takes less. */
const LIMIT_MILLISECONDS = 60_000
/** A plan remembers some 16 MiB of placements. */
const MAX_HEAP_MEBIBYTES = 256

/**
 * What `rebalance` says, worked out on a thread of its own: a plan takes up to a third of a second, and the node passes
 * hidden states on meanwhile.
 *
 * @param threadModule - `decide-thread.js`
 * @throws DeadlineError; the signal's reason; what the thread threw
 */
export async function decideOnThread(
  threadModule: URL,
  request: RebalanceRequest,
  signal: AbortSignal
): Promise<Rebalance> {
  signal.throwIfAborted()
  using limit = deadline('choosing layers', LIMIT_MILLISECONDS, signal)
  const worker = new Worker(threadModule, {
    workerData: request,
    resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP_MEBIBYTES }
  })
  const { promise, resolve, reject } = Promise.withResolvers<Rebalance>()
  worker.once('message', resolve)
  worker.once('error', reject)
  // After a message or an error it says nothing new.
  worker.once('exit', code => reject(new Error(`the thread that chooses layers ended with ${code}`)))
  try {
    return await abortable(promise, limit.signal)
  } finally {
    await worker.terminate()
  }
}
