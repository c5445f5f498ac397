import { createServer } from 'node:net'
import { multiaddr } from '@multiformats/multiaddr'
import { asError } from '../../protocol/errors.js'
import { SwarmError } from './errors.js'
import type { SwarmLibp2p } from './libp2p.js'

/** Where a node listens unless told otherwise. */
export const DEFAULT_LISTEN = ['/ip4/0.0.0.0/tcp/27470', '/ip6/::/tcp/27470']

/**
 * Makes sure that the TCP ports are free: libp2p's own error says so only in its text. Where there is no IPv6, or no such
 * address, it is libp2p's to decide whether that matters.
 * @throws SwarmError PORT_TAKEN, ADDRESS_INVALID
 */
export async function checkPorts(addresses: string[]): Promise<void> {
  for (const address of addresses) {
    const { host, port } = parseListenAddress(address)
    if (port === 0 || host === undefined) continue
    const code = await tryPort(host, port)
    if (code !== 'EADDRINUSE') continue
    throw new SwarmError('PORT_TAKEN', `port ${port} is taken by another program, or by another flambeau`, {
      details: { address, port }
    })
  }
}

/** @throws SwarmError LISTEN_FAILED */
export async function startListening(libp2p: Pick<SwarmLibp2p, 'start'>, listen: string[]): Promise<void> {
  try {
    await libp2p.start()
  } catch (cause) {
    throw new SwarmError(
      'LISTEN_FAILED',
      `this node cannot listen on ${listen.join(', ')}. Choose other addresses with --listen.`,
      { details: { listen }, cause }
    )
  }
}

function parseListenAddress(address: string): { host: string | undefined; port: number } {
  try {
    const parts = new Map(
      multiaddr(address)
        .getComponents()
        .map(({ name, value }) => [name, value])
    )
    return { host: parts.get('ip4') ?? parts.get('ip6'), port: Number(parts.get('tcp') ?? 0) }
  } catch (cause) {
    throw new SwarmError(
      'ADDRESS_INVALID',
      `${JSON.stringify(address)} is not an address to listen on. One looks like /ip4/0.0.0.0/tcp/27470.`,
      { details: { address }, cause }
    )
  }
}

/** The error code of listening there for a moment; undefined when it works. */
async function tryPort(host: string, port: number): Promise<string | undefined> {
  const server = createServer()
  const { promise, resolve } = Promise.withResolvers<string | undefined>()
  server.once('error', error => resolve('code' in error ? String(error.code) : asError(error).name))
  server.listen({ host, port, ipv6Only: host.includes(':') }, () => server.close(() => resolve(undefined)))
  return promise
}
