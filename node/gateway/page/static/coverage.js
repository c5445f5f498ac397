/** Who holds which layers of a model. */
import { count, layers } from './format.js'

/** @import { ModelView } from '../../../control/contract.js' */
/** Layers that follow each other with the same number of nodes that serve them. */
/** @typedef {{ start: number, end: number, holders: number }} Segment */

/** @param {Pick<ModelView, 'layers' | 'holders'>} model @returns {Segment[]} */
export function segments({ layers: all, holders }) {
  const serving = holders.filter(holder => holder.serving)
  const cuts = new Set([0, all, ...serving.flatMap(({ start, end }) => [start, end])])
  const sorted = [...cuts].filter(cut => cut >= 0 && cut <= all).sort((a, b) => a - b)
  /** @type {Segment[]} */
  const found = []
  sorted.slice(0, -1).forEach((start, i) => {
    const end = sorted[i + 1] ?? all
    const holding = new Set(serving.filter(one => one.start <= start && end <= one.end).map(({ peer }) => peer)).size
    const last = found.at(-1)
    if (last !== undefined && last.holders === holding) last.end = end
    else found.push({ start, end, holders: holding })
  })
  return found
}

/** 0: nobody; 1: it hangs on one node. @param {Segment} segment @returns {'none' | 'one' | 'many'} */
export function strength({ holders }) {
  if (holders === 0) return 'none'
  return holders === 1 ? 'one' : 'many'
}

/** What the map says, in words. @param {readonly Segment[]} all @returns {string} */
export function weakSpots(all) {
  const named = (/** @type {'none' | 'one'} */ kind) =>
    all
      .filter(segment => strength(segment) === kind)
      .map(layers)
      .join(', ')
  const none = named('none')
  const one = named('one')
  if (none === '' && one === '') {
    return `Every layer is served by at least ${count(Math.min(...all.map(({ holders }) => holders)), 'node')}.`
  }
  return [
    ...(none === '' ? [] : [`Nobody serves layers ${none}.`]),
    ...(one === '' ? [] : [`Only one node serves layers ${one}: without it they are missing.`])
  ].join(' ')
}
