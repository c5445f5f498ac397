/** A model of the swarm: who holds which layers, and what to expect of it. */
import { segments, strength, weakSpots } from './coverage.js'
import { drawing, el } from './dom.js'
import { Expectation } from './expectation.js'
import { count, layers, peerName } from './format.js'

/** @import { ModelView } from '../../../control/contract.js' */

/** Stays while the swarm changes: so does what has been asked of it. */
export class ModelCard {
  element = el('article', { class: 'model' })
  #coverage = el('div')
  #draw = drawing(this.#coverage, coverage)

  /** @param {ModelView} model */
  constructor(model) {
    this.element.append(this.#coverage, new Expectation(model).element)
  }

  /** @param {ModelView} model */
  update(model) {
    this.#draw(model)
  }
}

/** @param {ModelView} model @returns {import('./dom.js').Child[]} */
function coverage(model) {
  const serving = model.holders.filter(holder => holder.serving)
  const stored = storedOnly(model.holders)
  const found = segments(model)
  const columns = `repeat(${model.layers}, minmax(0, 1fr))`
  const map = el('div', { class: 'map', 'aria-hidden': 'true' }, ...found.map(segmentBar), ...serving.map(holderBar))
  map.style.gridTemplateColumns = columns
  return [
    el(
      'h3',
      {},
      model.name,
      ' ',
      el('span', { class: model.complete ? 'tag good' : 'tag bad' }, model.complete ? 'complete' : 'incomplete')
    ),
    el('p', { class: 'help' }, `${model.architecture}, ${count(model.layers, 'layer')}`),
    map,
    el('p', { class: 'weak' }, weakSpots(found)),
    stored.length === 0
      ? undefined
      : el('p', { class: 'help' }, `On disk, not served now: ${stored.map(holderText).join('; ')}.`),
    el(
      'ul',
      { class: 'hidden', 'aria-label': 'Who serves what' },
      ...serving.map(holder => el('li', {}, holderText(holder)))
    )
  ]
}

/** @param {import('./coverage.js').Segment} segment */
function segmentBar(segment) {
  const label = `${layers(segment)} ×${segment.holders}`
  const bar = el('span', { class: `segment ${strength(segment)}`, title: `layers ${label}` }, label)
  bar.style.gridColumn = `${segment.start + 1} / ${segment.end + 1}`
  return bar
}

/** @param {ModelView['holders'][number]} holder */
function holderBar(holder) {
  const text = holderText(holder)
  const bar = el('span', { class: 'holder', title: text }, peerName(holder))
  bar.style.gridColumn = `${holder.start + 1} / ${holder.end + 1}`
  return bar
}

/** @param {ModelView['holders'][number]} holder */
function holderText(holder) {
  return `${peerName(holder)} layers ${layers(holder)}`
}

/** Those who have files of layers that they do not serve. @param {ModelView['holders']} holders */
function storedOnly(holders) {
  return holders.filter(
    ({ peer, start, end, serving }) =>
      !serving && !holders.some(one => one.serving && one.peer === peer && one.start <= start && end <= one.end)
  )
}
