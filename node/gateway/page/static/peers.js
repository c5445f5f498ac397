/** The nodes of the swarm, a row each. */
import { drawing, el } from './dom.js'
import { bytes, layers, milliseconds, peerName, shortPeer } from './format.js'
import { loadOf } from './load.js'

/** @import { PeerView } from '../../../control/contract.js' */

const COLUMNS = ['Node', 'State', 'Path', 'Hardware', 'Layers', 'Load']

export class PeerTable {
  #rows = el('tbody', { role: 'rowgroup' })
  #draw = drawing(this.#rows, (/** @type {PeerView[]} */ peers) => peers.map(row))
  element = el(
    'table',
    { class: 'peers', role: 'table', 'aria-labelledby': 'peers-title' },
    el(
      'thead',
      { role: 'rowgroup' },
      el('tr', { role: 'row' }, ...COLUMNS.map(name => el('th', { scope: 'col', role: 'columnheader' }, name)))
    ),
    this.#rows
  )

  /** @param {PeerView[]} peers */
  update(peers) {
    this.#draw(peers)
  }
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
    cell('Layers', served.join(', ') || 'none'),
    cell('Load', ...loadOf(peer))
  )
}

/** @param {string} label @param {import('./dom.js').Child[]} children */
function cell(label, ...children) {
  return el('td', { role: 'cell', 'data-label': label }, el('div', {}, ...children))
}
