import { connect, createServer } from 'node:net'
import { reachOf } from '../../node/swarm/addresses.js'
import { asError } from '../../protocol/errors.js'
import { fail, ok, warn, type Check } from './check.js'

/** Whether other nodes can be listened for. */
export function portCheck(port: number): Promise<Check> {
  return new Promise(resolve => {
    const server = createServer()
    server.once('error', error => {
      const advice = 'Choose another with network.port, or end what uses it.'
      resolve(fail('port', `TCP ${port} cannot be used (${error.message})`, advice))
    })
    server.listen(port, () =>
      server.close(() => resolve(ok('port', port === 0 ? 'any free one' : `TCP ${port} is free`)))
    )
  })
}

interface TcpAddress {
  host: string
  port: number
}

/** Host and port of a multiaddr over TCP; undefined for relayed and other ones. */
export function tcpAddress(multiaddr: string): TcpAddress | undefined {
  const match = /^\/(?:ip4|ip6|dns4|dns6|dns)\/([^/]+)\/tcp\/(\d{1,5})(?:\/p2p\/[^/]+)?$/.exec(multiaddr)
  return match?.[1] === undefined ? undefined : { host: match[1], port: Number(match[2]) }
}

/** Milliseconds to open a connection to a bootstrap node. */
const CONNECT_MS = 3_000
/** The most bootstrap addresses that are tried. */
const MAX_TRIED = 8

/** Whether the nodes to join through answer; one that does is enough. */
export async function* bootstrapChecks(
  multiaddrs: readonly string[],
  { signal }: { signal: AbortSignal }
): AsyncGenerator<Check, void, undefined> {
  const addresses = multiaddrs.flatMap(address => tcpAddress(address) ?? []).slice(0, MAX_TRIED)
  if (addresses.length === 0) {
    yield ok('bootstrap', 'no addresses: this node waits for others, or finds them on the local network')
    return
  }
  const answers = await Promise.all(addresses.map(address => reach(address, signal)))
  const reached = answers.filter(answer => answer === undefined).length
  const found = `${reached} of ${addresses.length} addresses answer`
  const reason = answers.find(answer => answer !== undefined)
  const advice = `${reason ?? ''}. Ask for a newer invitation, or look at the network and its firewall.`
  yield reached > 0 ? ok('bootstrap', found) : fail('bootstrap', found, advice)
}

/** Undefined, or why not. */
function reach({ host, port }: TcpAddress, signal: AbortSignal): Promise<string | undefined> {
  return new Promise(resolve => {
    const socket = connect({ host, port, signal })
    const settle = (reason?: string): void => {
      socket.destroy()
      resolve(reason)
    }
    socket.setTimeout(CONNECT_MS, () => settle(`${host} port ${port} does not answer`))
    socket.once('connect', () => settle())
    socket.once('error', error => settle(asError(error).message))
  })
}

const REACH_ADVICE =
  'Forward the port in the router and set network.announce, or let a member with a public address run with --relay.'

/** From where others can reach this node, as far as its own addresses tell. */
export function addressCheck(multiaddrs: readonly string[]): Check {
  switch (reachOf(multiaddrs)) {
    case 'anywhere':
      return ok('addresses', 'a public address is announced; whether the router lets others in shows when they connect')
    case 'through a relay':
      return warn('addresses', 'others reach this node through a relay only', REACH_ADVICE)
    case 'local network':
      return warn('addresses', 'this node is reached from the local network only', REACH_ADVICE)
    case 'this machine':
      return warn('addresses', 'this node is reached from this machine only', 'Connect it to a network.')
    case 'nowhere':
      return fail('addresses', 'this node listens nowhere', 'Look at network.listen and the log.')
  }
}
