import { Actions, Invitation } from './actions.js'
import { drawing, el } from './dom.js'
import { bytes, clock, count, layers } from './format.js'
import { Throughput } from './throughput.js'

/** @import { PageStatus } from '../contract.js' */
/** @import { Child } from './dom.js' */

/** @type {Record<string, string>} */
const PAUSED_BY = { owner: 'by you', schedule: 'outside of its hours', busy: 'because others use the machine' }

export class NodeView {
  #facts = el('dl', { class: 'facts-list' })
  #memory = el('div')
  #shared = el('div')
  #actions = new Actions()
  #throughput = new Throughput()
  #drawFacts = drawing(this.#facts, facts)
  #drawMemory = drawing(this.#memory, memory)
  #drawShared = drawing(this.#shared, shared)

  /** @param {HTMLElement} root */
  constructor(root) {
    root.append(
      this.#facts,
      this.#actions.element,
      el('h2', {}, 'Shared layers'),
      this.#memory,
      this.#shared,
      el('h2', {}, 'Throughput'),
      this.#throughput.element,
      el('h2', {}, 'Invite others'),
      new Invitation().element
    )
  }

  /** @param {PageStatus} status */
  update(status) {
    this.#drawFacts(status)
    this.#drawMemory(status)
    this.#drawShared(status)
    this.#actions.update(status)
    this.#throughput.update(status.positions)
  }
}

/** @param {PageStatus} status @returns {Child[]} */
function facts({ name, peer, swarm, state, availability, engine, addresses, sessions, version }) {
  const why = availability.pauses.map(
    ({ reason, until }) => `${PAUSED_BY[reason] ?? reason}${until === undefined ? '' : ` until ${clock(until)}`}`
  )
  const device = [engine.backend ?? '', ...engine.devices].filter(part => part !== '').join(', ')
  return [
    ...fact('Name', name),
    ...fact(
      'State',
      el('span', { class: state === 'online' ? 'tag good' : 'tag warn', id: 'state' }, state),
      why.length === 0 ? '' : ` ${why.join(' and ')}`
    ),
    ...fact('Swarm', `${swarm.name} (${swarm.closed ? 'closed' : 'open'})`),
    ...fact('Engine', device === '' ? engine.state : `${engine.state}: ${device}`),
    ...fact('Sessions', `${sessions.served} on its layers, ${count(sessions.origin, 'answer')} of its own`),
    ...fact('Peer', el('span', { class: 'mono' }, peer)),
    ...fact('Addresses', el('span', { class: 'mono' }, addresses.join('\n') || 'none')),
    ...fact('Version', version)
  ]
}

/** @param {string} name @param {Child[]} value @returns {Child[]} */
function fact(name, ...value) {
  return [el('dt', {}, name), el('dd', {}, ...value)]
}

/** @param {PageStatus} status @returns {Child[]} */
function memory({ usedBytes, memoryBytes }) {
  const text = `${bytes(usedBytes)} used of ${bytes(memoryBytes)} given`
  return [
    el('meter', { min: 0, max: Math.max(1, memoryBytes), value: usedBytes, 'aria-label': 'Memory' }, text),
    el('p', { class: 'help' }, text)
  ]
}

/** @param {PageStatus} status @returns {Child[]} */
function shared({ shards, tasks }) {
  const doing = tasks.map(({ what, model, layers: range, progress }) =>
    el(
      'p',
      { class: 'task' },
      `${what} ${model}${range === undefined ? '' : ` ${layers(range)}`}: ${Math.round(progress * 100)} %`
    )
  )
  if (shards.length === 0) return [...doing, el('p', { class: 'help' }, 'It serves no layers now.')]
  const columns = ['Model', 'Layers', 'Time a layer', 'Sessions', 'Free context']
  return [
    ...doing,
    el(
      'table',
      { role: 'table', 'aria-label': 'Layers that this node serves' },
      el(
        'thead',
        { role: 'rowgroup' },
        el('tr', { role: 'row' }, ...columns.map(name => el('th', { scope: 'col', role: 'columnheader' }, name)))
      ),
      el('tbody', { role: 'rowgroup' }, ...shards.map(shard => row(columns, shard)))
    )
  ]
}

/** @param {readonly string[]} columns @param {PageStatus['shards'][number]} shard */
function row(columns, { model, start, end, secondsPerLayer, sessions, context, freeContext }) {
  const values = [
    ...[model, layers({ start, end }), `${(secondsPerLayer * 1_000).toFixed(2)} ms`, String(sessions)],
    `${freeContext} of ${context} positions`
  ]
  return el(
    'tr',
    { role: 'row' },
    ...values.map((value, i) => el('td', { role: 'cell', 'data-label': columns[i] ?? '' }, el('div', {}, value)))
  )
}
