/** Which nodes an answer came through. */
import { el } from './dom.js'
import { layers, milliseconds, peerName, shortPeer } from './format.js'

/** @import { FlambeauView } from '../../course.js' */

/** @param {FlambeauView} course */
export function routeOf(course) {
  return el(
    'div',
    { class: 'course' },
    el('ol', { class: 'route', 'aria-label': 'Nodes that computed this answer, in order' }, ...course.route.map(stage)),
    el('p', { class: 'facts' }, factsOf(course)),
    ...course.recoveries.map(recovery =>
      el('p', { class: 'recovery' }, el('span', { class: 'tag warn' }, 'recovered'), ` ${recoveryText(recovery)}`)
    )
  )
}

/** @param {FlambeauView['route'][number]} one */
function stage(one) {
  const { start, end, compute_ms, queued_ms, local, link } = one
  const times = [
    milliseconds(compute_ms),
    ...(queued_ms >= 0.01 ? [`${milliseconds(queued_ms)} queued`] : []),
    ...(link === 'relayed' || link === 'star' ? [link === 'star' ? 'on through this node' : 'on through a relay'] : [])
  ]
  return el(
    'li',
    { title: shortPeer(one.peer) },
    el('span', { class: 'name' }, peerName(one), local ? el('small', {}, ' this node') : undefined),
    el('span', { class: 'detail' }, `layers ${layers({ start, end })}`),
    el('span', { class: 'detail' }, times.join(', '))
  )
}

/** @param {FlambeauView} course */
function factsOf({ network_ms, first_token_ms, tokens_per_second }) {
  return [
    `${milliseconds(network_ms)} on the way per token`,
    `first token after ${milliseconds(first_token_ms)}`,
    `${tokens_per_second.toFixed(1)} tokens/s`
  ].join(' · ')
}

/** @param {FlambeauView['recoveries'][number]} recovery */
export function recoveryText({ lost, elapsed_ms }) {
  const who = lost.map(one => `${peerName(one)} (layers ${layers(one)})`).join(' and ')
  return `${who} left in the middle of the answer; others took over after ${milliseconds(elapsed_ms)}, nothing is lost.`
}
