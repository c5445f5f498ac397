import type { FastifyRequest } from 'fastify'
import { GatewayError } from '../errors.js'

/** What a browser says of a request that the page itself makes, or that its user typed. */
const OWN_SITES: ReadonlySet<string> = new Set(['same-origin', 'none'])

/**
 * Before the body is read. An origin of `gateway.origins` may ask the swarm, and nothing else.
 * @throws GatewayError OWNER_ONLY, FOREIGN_ORIGIN
 */
export function requireOwner({ caller, headers }: Pick<FastifyRequest, 'caller' | 'headers'>): void {
  if (caller?.kind !== 'owner') {
    throw new GatewayError('OWNER_ONLY', "This is for the node's owner, on its own machine and without a key.")
  }
  const { origin, host, 'sec-fetch-site': site = 'none' } = headers
  if (origin !== undefined && origin !== `http://${host}`) throw foreign()
  if (typeof site !== 'string' || !OWN_SITES.has(site)) throw foreign()
}

function foreign(): GatewayError {
  return new GatewayError('FOREIGN_ORIGIN', "Only the node's own page may do this.")
}
