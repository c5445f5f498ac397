import { arrange, el, show } from './dom.js'
import { clock } from './format.js'
import { ModelCard } from './model.js'
import { PeerTable } from './peers.js'

/** @import { ModelView } from '../../../control/contract.js' */
/** @import { Snapshots } from './live.js' */

/** Events that are remembered. */
const MAX_EVENTS = 100

export class SwarmView {
  #models = el('div')
  #nobody = el('p', { class: 'help', hidden: true }, 'Nobody offers a model yet.')
  /** By manifest. @type {Map<string, ModelCard>} */
  #cards = new Map()
  #peers = new PeerTable()
  #events = el(
    'ol',
    { class: 'events' },
    el('li', { class: 'help' }, 'Nothing has happened since this page was opened.')
  )
  #count = 0

  /** @param {HTMLElement} root */
  constructor(root) {
    root.append(
      el('h2', {}, 'Models'),
      el(
        'ul',
        { class: 'legend', 'aria-label': 'Legend' },
        el('li', {}, el('span', { class: 'swatch many' }), 'two nodes or more'),
        el('li', {}, el('span', { class: 'swatch one' }), 'one node: weak'),
        el('li', {}, el('span', { class: 'swatch none' }), 'nobody: missing')
      ),
      this.#nobody,
      this.#models,
      el('h2', { id: 'peers-title' }, 'Nodes'),
      this.#peers.element,
      el('p', { class: 'help' }, 'Load is as each node said last: it says so every 15 seconds.'),
      el('h2', {}, 'Events'),
      this.#events
    )
  }

  /** @param {Snapshots} snapshots */
  update({ peers, models }) {
    if (models !== undefined) this.#showModels(models)
    if (peers !== undefined) this.#peers.update(peers)
  }

  /** @param {string} what */
  happened(what) {
    const time = clock(Date.now())
    if (this.#count === 0) this.#events.replaceChildren()
    this.#count = Math.min(MAX_EVENTS, this.#count + 1)
    this.#events.prepend(el('li', {}, el('time', {}, time), el('span', {}, what)))
    while (this.#events.children.length > MAX_EVENTS) this.#events.lastElementChild?.remove()
  }

  /** @param {ModelView[]} models */
  #showModels(models) {
    /** @type {Map<string, ModelCard>} */
    const cards = new Map()
    for (const model of models) {
      const card = this.#cards.get(model.manifest) ?? new ModelCard(model)
      card.update(model)
      cards.set(model.manifest, card)
    }
    this.#cards = cards
    show(this.#nobody, models.length === 0)
    arrange(
      this.#models,
      [...cards.values()].map(({ element }) => element)
    )
  }
}
