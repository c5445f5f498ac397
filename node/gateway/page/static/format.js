/** Numbers as people read them. */

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB']

/** @param {number} value */
export function bytes(value) {
  const power = value < 1 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log2(value) / 10))
  const scaled = value / 1024 ** power
  return `${scaled.toFixed(power === 0 || scaled >= 100 ? 0 : 1)} ${UNITS[power]}`
}

/** @param {number} ms */
export function milliseconds(ms) {
  if (ms >= 1_000) return `${(ms / 1_000).toFixed(1)} s`
  return `${ms.toFixed(ms < 10 ? 2 : ms < 100 ? 1 : 0)} ms`
}

/** @param {number} number @param {string} noun */
export function count(number, noun) {
  return `${number} ${noun}${number === 1 ? '' : 's'}`
}

/** @param {number} fraction */
export function percent(fraction) {
  return `${Math.round(fraction * 100)} %`
}

/** From one layer to before another, as everywhere in Flambeau. @param {{ start: number, end: number }} range */
export function layers({ start, end }) {
  return `${start}-${end}`
}

/** @param {number} time milliseconds since 1970 */
export function clock(time) {
  return new Date(time).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit', second: '2-digit' })
}

/** The beginning and the end of a peer's id. @param {string} peer */
export function shortPeer(peer) {
  return peer.length > 16 ? `${peer.slice(0, 6)}…${peer.slice(-6)}` : peer
}

/** @param {{ peer: string, name: string }} peer */
export function peerName({ peer, name }) {
  return name === '' ? shortPeer(peer) : name
}
