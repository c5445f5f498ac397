/** What a plan says, in the words of `flambeau plan`. */
import { el } from './dom.js'
import { bytes, clock, count, layers, milliseconds, peerName, percent } from './format.js'

/** @import { AccuracyView, AlonePlan, MissingRange, PlanView, PlannedSize, PlannedSpeed, SwarmPlan } from '../../../control/plan.js' */
/** @import { Child } from './dom.js' */

/** @typedef {Extract<SwarmPlan, { kind: 'route' }>} Route */

/** The most important of it, in a sentence. @param {PlanView} plan */
export function verdict({ faster, swarm }) {
  if (faster === 'alone') return 'Alone would be faster: this machine can run the whole model by itself.'
  if (faster === 'swarm') return 'The swarm is faster than this machine alone.'
  if (swarm.kind !== 'route') return sentence(`The swarm ${swarmText(swarm)}`)
  if (swarm.stages.every(({ local }) => local)) return 'The route is this machine alone.'
  return `The swarm would answer with ${speedText(swarm.speed)}.`
}

/** @param {string} text perhaps with its full stop */
function sentence(text) {
  return text.endsWith('.') ? text : `${text}.`
}

/** All of it. @param {PlanView} plan @returns {Child[]} */
export function planParts({ promptTokens, size, alone, swarm }) {
  const isKnown = alone.speed !== undefined || swarm.kind === 'route'
  const first = isKnown ? `First token: for a prompt of ${count(promptTokens, 'token')}. ` : ''
  return [
    el(
      'dl',
      { class: 'facts-list' },
      ...fact('Alone', aloneText(alone, size)),
      ...fact('Swarm', swarmText(swarm)),
      ...(swarm.kind === 'route' ? fact('Limit', limitText(swarm)) : []),
      ...fact('Size', size === undefined ? 'not known: nobody who has its header answers' : sizeText(size))
    ),
    ...(swarm.kind === 'route' ? routeParts(swarm) : []),
    ...(swarm.kind === 'missing' ? swarm.ranges.map(range => el('p', { class: 'help' }, takersText(range))) : []),
    el('p', { class: 'help' }, `${first}Estimated at ${clock(Date.now())}.`)
  ]
}

/** @param {AccuracyView} accuracy */
export function accuracyText({ answers, tokensPerSecond, firstToken }) {
  if (answers === 0) return 'No answers yet: nobody can say how far off estimates are here.'
  const known = [
    ...(tokensPerSecond === undefined ? [] : [`${percent(tokensPerSecond)} of tokens/s`]),
    ...(firstToken === undefined ? [] : [`${percent(firstToken)} of the first token`])
  ]
  return `Median error of the last ${count(answers, 'answer')}, of all models: ${known.join(', ') || 'not known'}.`
}

/** @param {string} name @param {string} value @returns {Child[]} */
function fact(name, value) {
  return [el('dt', {}, name), el('dd', {}, value)]
}

/** @param {PlannedSize} size */
function sizeText({ weights, needed, positions }) {
  return `${bytes(weights)} of weights, ${bytes(needed)} of memory with room for ${positions} positions`
}

/** @param {AlonePlan} alone @param {PlannedSize | undefined} size */
function aloneText({ fits, memoryBytes, speed }, size) {
  const given = `${bytes(memoryBytes)} are given`
  if (fits === undefined) return `whether it fits here is not known; ${given}`
  if (!fits) return `does not fit here: needs ${bytes(size?.needed ?? 0)}, ${given}`
  if (speed === undefined) return `fits here, ${given}; how fast is not known: this node serves no layers of it`
  return speedText(speed)
}

/** @param {SwarmPlan} swarm */
function swarmText(swarm) {
  if (swarm.kind === 'route') return speedText(swarm.speed)
  if (swarm.kind === 'missing') return `cannot answer: nobody serves layers ${swarm.ranges.map(layers).join(', ')}`
  return swarm.kind === 'blocked' ? `cannot answer now: ${swarm.message}` : 'has nobody who shares it yet'
}

/** @param {PlannedSpeed} speed */
function speedText({ tokensPerSecond, firstTokenMs, correctedBy }) {
  const by = correctedBy > 0 ? ` (corrected by the last ${correctedBy} answers)` : ''
  return `${tokensPerSecond.toFixed(1)} tokens/s, first after ${milliseconds(firstTokenMs)}${by}`
}

/** @param {Route} route */
function limitText({ limit, stages }) {
  const share = `${percent(limit.share)} of each token`
  if (limit.kind === 'network') return `the network and its hops: ${share}`
  const stage = stages[limit.stage]
  return `compute on ${stage === undefined ? 'a stage' : peerName(stage)}: ${share}`
}

/** @param {Route} route @returns {Child[]} */
function routeParts({ stages, networkMs }) {
  const drawn = stages.map(stage =>
    el(
      'li',
      {},
      el('span', { class: 'name' }, peerName(stage), stage.local ? el('small', {}, ' this node') : undefined),
      el('span', { class: 'detail' }, `layers ${layers(stage)}`),
      el('span', { class: 'detail' }, `${milliseconds(stage.milliseconds)} per token`)
    )
  )
  return [
    el('ol', { class: 'route', 'aria-label': 'Nodes that would compute an answer now, in order' }, ...drawn),
    el('p', { class: 'facts' }, `network and hops: ${milliseconds(networkMs)} per token`)
  ]
}

/** @param {MissingRange} range */
function takersText({ bytes: needed, takers, ...range }) {
  const which = `Layers ${layers(range)}`
  if (needed === undefined) return `${which}: what they take is not known.`
  if (takers.length === 0) return `${which} take ${bytes(needed)}; no node is known to have that much free.`
  const nodes = takers.map(taker => `${peerName(taker)} (${bytes(taker.freeBytes)} free)`)
  return `${which} take ${bytes(needed)}; room for them: ${nodes.join(', ')}.`
}
