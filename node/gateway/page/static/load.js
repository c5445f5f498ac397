/** How busy a node's layers are. */
import { el } from './dom.js'
import { count, layers, milliseconds } from './format.js'

/** @import { PeerShardView, PeerView } from '../../../control/contract.js' */
/** @import { Child } from './dom.js' */

/** Steps, on average: fewer are as good as none. */
const FEWEST_WAITING = 0.05

/** Of each of its shards, in the order of their layers. @param {PeerView} peer @returns {Child[]} */
export function loadOf({ state, shards }) {
  if (shards.length === 0) return ['none']
  if (state === 'banned') return ['not asked']
  // Whatever is free.
  if (state !== 'online') return ['takes no sessions']
  return shards.map(shard => shardLoad(shard, shards.length > 1 ? `${shard.model} ${layers(shard)}: ` : ''))
}

/** @param {PeerShardView} shard @param {string} which empty: there is no other */
function shardLoad({ freeSessions, freeContext, queue, secondsPerLayer }, which) {
  const isFull = freeSessions < 1 || freeContext < 1
  const room = isFull ? el('span', { class: 'tag warn' }, 'full') : `${count(freeSessions, 'session')} free`
  const waiting = queue < FEWEST_WAITING ? 'nothing waits' : `${queue.toFixed(1)} steps wait`
  const more = `${count(freeContext, 'position')} free, ${milliseconds(secondsPerLayer * 1_000)} a layer`
  return el('div', { class: 'load' }, which, room, `, ${waiting}`, el('small', {}, more))
}
