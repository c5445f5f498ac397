import { segments, strength, weakSpots } from './coverage.js'
import { drawing, el } from './dom.js'
import { bytes, clock, count, layers, milliseconds, peerName, shortPeer } from './format.js'

/** @import { ModelView, PeerView } from '../../../control/contract.js' */
/** @import { Snapshots } from './live.js' */

/** Events that are remembered. */
const MAX_EVENTS = 100
const COLUMNS = ['Node', 'State', 'Path', 'Hardware', 'Layers']

export class SwarmView {
  #models = el('div')
  #peers = el('tbody', { role: 'rowgroup' })
  #events = el(
    'ol',
    { class: 'events' },
    el('li', { class: 'help' }, 'Nothing has happened since this page was opened.')
  )
  #count = 0
  #drawModels = drawing(this.#models, (/** @type {ModelView[]} */ models) =>
    models.length === 0 ? [el('p', { class: 'help' }, 'Nobody offers a model yet.')] : models.map(coverage)
  )
  #drawPeers = drawing(this.#peers, (/** @type {PeerView[]} */ peers) => peers.map(row))

  /** @param {HTMLElement} root */
  constructor(root) {
    const header = el(
      'tr',
      { role: 'row' },
      ...COLUMNS.map(name => el('th', { scope: 'col', role: 'columnheader' }, name))
    )
    root.append(
      el('h2', {}, 'Models'),
      el(
        'ul',
        { class: 'legend', 'aria-label': 'Legend' },
        el('li', {}, el('span', { class: 'swatch many' }), 'two nodes or more'),
        el('li', {}, el('span', { class: 'swatch one' }), 'one node: weak'),
        el('li', {}, el('span', { class: 'swatch none' }), 'nobody: missing')
      ),
      this.#models,
      el('h2', { id: 'peers-title' }, 'Nodes'),
      el(
        'table',
        { class: 'peers', role: 'table', 'aria-labelledby': 'peers-title' },
        el('thead', { role: 'rowgroup' }, header),
        this.#peers
      ),
      el('h2', {}, 'Events'),
      this.#events
    )
  }

  /** @param {Snapshots} snapshots */
  update({ peers, models }) {
    if (models !== undefined) this.#drawModels(models)
    if (peers !== undefined) this.#drawPeers(peers)
  }

  /** @param {string} what */
  happened(what) {
    const time = clock(Date.now())
    if (this.#count === 0) this.#events.replaceChildren()
    this.#count = Math.min(MAX_EVENTS, this.#count + 1)
    this.#events.prepend(el('li', {}, el('time', {}, time), el('span', {}, what)))
    while (this.#events.children.length > MAX_EVENTS) this.#events.lastElementChild?.remove()
  }
}

/** @param {ModelView} model */
function coverage(model) {
  const serving = model.holders.filter(holder => holder.serving)
  const stored = storedOnly(model.holders)
  const found = segments(model)
  const columns = `repeat(${model.layers}, minmax(0, 1fr))`
  const map = el('div', { class: 'map', 'aria-hidden': 'true' }, ...found.map(segmentBar), ...serving.map(holderBar))
  map.style.gridTemplateColumns = columns
  return el(
    'article',
    { class: 'model' },
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
  )
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

/** @param {PeerView} peer */
function row(peer) {
  const { self, state, path, roundTripMs, hardware, shards, bannedSeconds } = peer
  const device = [
    hardware.device || hardware.backend,
    hardware.memoryBytes > 0 ? `${bytes(hardware.memoryBytes)} given` : ''
  ]
  const served = shards.map(shard => `${shard.model} ${layers(shard)}`)
  const isGood = state === 'online'
  return el(
    'tr',
    { role: 'row' },
    cell(
      'Node',
      el('strong', {}, peerName(peer)),
      self ? ' (this one)' : '',
      el('small', { class: 'mono' }, shortPeer(peer.peer))
    ),
    cell(
      'State',
      el('span', { class: isGood ? 'tag good' : 'tag warn' }, state),
      bannedSeconds === undefined ? '' : ` ${Math.ceil(bannedSeconds / 60)} min left`
    ),
    cell('Path', [path, ...(roundTripMs === undefined || self ? [] : [milliseconds(roundTripMs)])].join(', ')),
    cell('Hardware', device.filter(part => part !== '').join(', ')),
    cell('Layers', served.join(', ') || 'none')
  )
}

/** @param {string} label @param {import('./dom.js').Child[]} children */
function cell(label, ...children) {
  return el('td', { role: 'cell', 'data-label': label }, el('div', {}, ...children))
}
