/** What the node tells by itself while the page is looked at. */
import { ownerHeaders } from './owner.js'
import { events, refusal } from './sse.js'

/** @import { ModelView, PeerView } from '../../../control/contract.js' */
/** @import { PageStatus } from '../contract.js' */

/** @typedef {{ status?: PageStatus, peers?: PeerView[], models?: ModelView[] }} Snapshots */
/** `refused`: this is not the owner's machine, or a key is needed. @typedef {'live' | 'lost' | 'refused'} LiveState */

/** Milliseconds until a node that does not answer is asked again. */
const RETRY_MS = 2_000
const REFUSED = new Set([401, 403])
const SILENT = 'The node does not answer. Trying again …'

/**
 * Only while the page is visible: a browser has few connections to one server, and each page here takes one.
 * @param {{ onChange: (snapshots: Snapshots) => void, onState: (state: LiveState, problem: string) => void }} listener
 */
export function follow({ onChange, onState }) {
  /** @type {Snapshots} */
  let snapshots = {}
  /** @type {AbortController | undefined} */
  let open
  let isRefused = false

  const listen = async (/** @type {AbortSignal} */ signal) => {
    const response = await fetch('/page/events', { signal, headers: ownerHeaders() })
    isRefused = REFUSED.has(response.status)
    if (!response.ok) return (await refusal(response)).message
    for await (const { event, data } of events(response)) {
      snapshots = { ...snapshots, [event]: JSON.parse(data) }
      onChange(snapshots)
      onState('live', '')
    }
    return SILENT
  }
  const keepListening = async (/** @type {AbortSignal} */ signal) => {
    while (!signal.aborted && !isRefused) {
      const problem = await listen(signal).catch(() => SILENT)
      if (signal.aborted) return
      if (isRefused) onState('refused', '')
      else onState('lost', problem)
      await new Promise(resolve => setTimeout(resolve, RETRY_MS))
    }
  }
  const look = () => {
    if (document.visibilityState === 'hidden') {
      open?.abort()
      open = undefined
    } else if (open === undefined && !isRefused) {
      open = new AbortController()
      void keepListening(open.signal)
    }
  }
  document.addEventListener('visibilitychange', look)
  look()
}
