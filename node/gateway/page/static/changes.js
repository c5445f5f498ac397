/** What has happened between two looks at the swarm. */
import { layers, peerName } from './format.js'

/** @import { ModelView, PeerView } from '../../../control/contract.js' */
/** @import { Snapshots } from './live.js' */

/** @param {Snapshots} before @param {Snapshots} now @returns {string[]} */
export function changes(before, now) {
  return [...peerChanges(before.peers, now.peers), ...modelChanges(before.models, now.models)]
}

/** @param {PeerView[] | undefined} before @param {PeerView[] | undefined} now @returns {string[]} */
function peerChanges(before, now) {
  if (before === undefined || now === undefined || before === now) return []
  const known = new Map(before.map(peer => [peer.peer, peer]))
  const still = new Set(now.map(({ peer }) => peer))
  return [
    ...now.filter(({ peer }) => !known.has(peer)).map(peer => `${peerName(peer)} came`),
    ...before.filter(({ peer }) => !still.has(peer)).map(peer => `${peerName(peer)} left`),
    ...now.flatMap(peer => {
      const old = known.get(peer.peer)
      return old === undefined ? [] : differences(old, peer)
    })
  ]
}

/** @param {PeerView} old @param {PeerView} peer @returns {string[]} */
function differences(old, peer) {
  const wasHere = old.path !== 'unconnected'
  const isHere = peer.path !== 'unconnected'
  const name = peerName(peer)
  return [
    ...(wasHere && !isHere ? [`${name} is not connected any more`] : []),
    ...(!wasHere && isHere ? [`${name} is connected again`] : []),
    ...(old.state === peer.state ? [] : [`${name} is ${peer.state} now`])
  ]
}

/** @param {ModelView[] | undefined} before @param {ModelView[] | undefined} now @returns {string[]} */
function modelChanges(before, now) {
  if (before === undefined || now === undefined || before === now) return []
  const known = new Map(before.map(model => [model.manifest, model.complete]))
  const still = new Set(now.map(({ manifest }) => manifest))
  return [
    ...now
      .filter(({ manifest, complete }) => (known.get(manifest) ?? false) !== complete)
      .map(({ name, complete, missing }) =>
        complete ? `${name} is complete` : `${name} is incomplete: nobody serves ${missing.map(layers).join(', ')}`
      ),
    ...before.filter(({ manifest }) => !still.has(manifest)).map(({ name }) => `nobody offers ${name} any more`)
  ]
}
