/** The secret of the node's owner: it came with the address that `flambeau status` prints, and lives as long as the tab. */

const STORED = 'flambeau-owner'
const IN_ADDRESS = /^#owner=([\w-]{43})$/

/** Takes it out of the address, where it would be seen and kept by the history. */
export function takeSecret() {
  const secret = IN_ADDRESS.exec(location.hash)?.[1]
  if (secret === undefined) return
  sessionStorage.setItem(STORED, secret)
  window.history.replaceState(null, '', location.pathname)
}

/** @param {string} path @param {object} body */
export async function ownerPost(path, body) {
  const headers = { 'content-type': 'application/json', ...ownerHeaders() }
  return fetch(path, { method: 'POST', headers, body: JSON.stringify(body) })
}

/** Of what only the owner may ask. @returns {Record<string, string>} */
export function ownerHeaders() {
  const secret = sessionStorage.getItem(STORED)
  return secret === null ? {} : { 'x-flambeau-owner': secret }
}
