import { createHash, timingSafeEqual } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
import { GatewayError } from '../errors.js'

/** What a browser says of a request that the page itself makes, or that its user typed. */
const OWN_SITES: ReadonlySet<string> = new Set(['same-origin', 'none'])

/**
 * Before the body is read. Whoever asks from this machine may ask the swarm; to switch the node off, or to see the
 * invitation, takes the secret that only the owner is told, over the control socket. An origin of `gateway.origins` may ask
 * the swarm, and nothing else.
 * @throws GatewayError OWNER_ONLY, FOREIGN_ORIGIN
 */
export function requireOwner(
  { caller, headers }: Pick<FastifyRequest, 'caller' | 'headers'>,
  { secret }: { secret: string }
): void {
  const { origin, host, 'sec-fetch-site': site = 'none', 'x-flambeau-owner': given } = headers
  if (origin !== undefined && origin !== `http://${host}`) throw foreign()
  if (typeof site !== 'string' || !OWN_SITES.has(site)) throw foreign()
  if (caller?.kind === 'owner' && typeof given === 'string' && timingSafeEqual(digest(given), digest(secret))) return
  throw new GatewayError(
    'OWNER_ONLY',
    "This is for the node's owner, on its own machine: open the page by the address that `flambeau status` shows."
  )
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

function foreign(): GatewayError {
  return new GatewayError('FOREIGN_ORIGIN', "Only the node's own page may do this.")
}
