import { BlockList, isIPv4, isIPv6 } from 'node:net'
import { multiaddr } from '@multiformats/multiaddr'

/** From where an IP address leads to its host: this machine, this network, anywhere. */
export type IpScope = 'loopback' | 'local' | 'public'

const IP6_BYTES = 16

const LOOPBACK = ranges(['127.0.0.0/8', '::1/128'])

/** Private, shared, link-local, multicast, reserved and never routed (IANA's special-purpose registries). */
const LOCAL = ranges([
  ...['0.0.0.0/8', '10.0.0.0/8', '100.64.0.0/10', '169.254.0.0/16', '172.16.0.0/12', '192.0.0.0/24', '192.168.0.0/16'],
  ...['198.18.0.0/15', '224.0.0.0/4', '240.0.0.0/4'],
  ...['::/96', '64:ff9b:1::/48', '100::/64', 'fc00::/7', 'fe80::/10', 'fec0::/10', 'ff00::/8']
])

/** IPv6 that routers turn into IPv4: the prefix, where the IPv4 address lies in it, and what it is XORed with. */
const EMBEDDING = [
  { what: 'NAT64 (RFC 6052)', prefix: ranges(['64:ff9b::/96']), offset: 12, mask: 0 },
  { what: '6to4 (RFC 3056)', prefix: ranges(['2002::/16']), offset: 2, mask: 0 },
  { what: 'Teredo (RFC 4380)', prefix: ranges(['2001::/32']), offset: 12, mask: 0xff }
]

/** Undefined for what is no IP address. IPv6 that stands for an IPv4 address counts as that. */
export function ipScope(ip: string): IpScope | undefined {
  if (isIPv4(ip)) return listed(ip, 'ipv4')
  const [address = ''] = ip.split('%')
  if (!isIPv6(address)) return undefined
  const embedding = EMBEDDING.find(({ prefix }) => prefix.check(address, 'ipv6'))
  if (embedding === undefined) return listed(address, 'ipv6')
  const bytes = multiaddr(`/ip6/${address}`).bytes.slice(-IP6_BYTES)
  const inner = bytes.subarray(embedding.offset, embedding.offset + 4).map(byte => byte ^ embedding.mask)
  return listed(inner.join('.'), 'ipv4')
}

/** Of an IPv4-mapped address (::ffff:0:0/96) a BlockList looks at the IPv4 address in it. */
function listed(ip: string, family: 'ipv4' | 'ipv6'): IpScope {
  if (LOOPBACK.check(ip, family)) return 'loopback'
  return LOCAL.check(ip, family) ? 'local' : 'public'
}

function ranges(subnets: string[]): BlockList {
  const list = new BlockList()
  for (const subnet of subnets) {
    const [network = '', bits] = subnet.split('/')
    list.addSubnet(network, Number(bits), isIPv4(network) ? 'ipv4' : 'ipv6')
  }
  return list
}
