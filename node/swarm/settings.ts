import { DEFAULT_LISTEN } from './listen.js'
import type { Membership } from './membership.js'

export interface SwarmSettings {
  membership: Membership
  /** Such as "flambeau/0.1.0". */
  agent: string
  /** Multiaddrs; an empty list: this node only dials, and is reached through a relay. */
  listen?: string[]
  /** Multiaddrs announced next to those that are found out. */
  announce?: string[]
  /** Addresses to join through, next to the membership's. */
  bootstrap?: string[]
  mdns?: boolean
  upnp?: boolean
  /** Passes circuits on for members. */
  relay?: boolean
  /** An origin for the time of one command: only dials, answers nobody, has no record. */
  clientOnly?: boolean
  /** Where libp2p keeps what it knows of peers; in memory by default. */
  datastoreFolder?: string | undefined
}

export type ResolvedSwarmSettings = Required<SwarmSettings>

export function resolveSettings(settings: SwarmSettings): ResolvedSwarmSettings {
  const clientOnly = settings.clientOnly ?? false
  return {
    membership: settings.membership,
    agent: settings.agent,
    clientOnly,
    listen: clientOnly ? [] : (settings.listen ?? DEFAULT_LISTEN),
    announce: settings.announce ?? [],
    bootstrap: settings.bootstrap ?? [],
    mdns: settings.mdns ?? true,
    upnp: settings.upnp ?? true,
    relay: settings.relay ?? false,
    datastoreFolder: settings.datastoreFolder
  }
}
