import type { StreamHandler } from '@libp2p/interface'
import { kadDHT, type KadDHT, type KadDHTComponents, type KadDHTInit } from '@libp2p/kad-dht'
import { DhtStore } from './dht-store.js'
import { SwarmError } from './errors.js'

type Registrar = KadDHTComponents['registrar']

/** Puts a protocol's handler behind a condition. */
export type StreamGuard = (handler: StreamHandler) => StreamHandler

/**
 * kad-dht as a swarm runs it: it answers whom `guard` lets through, keeps what others put in bounded memory, and takes
 * no values but those of `init.validators`. (By itself it also takes public keys, followed by anything.)
 */
export function swarmKad(init: KadDHTInit, guard: StreamGuard): (components: KadDHTComponents) => KadDHT {
  const create = kadDHT({ ...init, validators: { ...init.validators, pk: refuse } })
  // `components` looks each one up when it is asked for, and cannot be spread.
  return components => {
    const { peerId, privateKey, addressManager, peerStore, connectionManager, events, logger, ping, metrics } =
      components
    return create({
      ...{ peerId, privateKey, addressManager, peerStore, connectionManager, events, logger, ping },
      ...(metrics !== undefined && { metrics }),
      registrar: guarded(components.registrar, guard),
      datastore: new DhtStore({ owner: peerId.toString() })
    })
  }
}

/** The same registrar, but what is registered through it is guarded from the first moment on. */
function guarded(registrar: Registrar, guard: StreamGuard): Registrar {
  const handle: Registrar['handle'] = async (protocol, handler, options) =>
    registrar.handle(protocol, guard(handler), options)
  return Object.create(registrar, { handle: { value: handle } }) as Registrar
}

function refuse(): Promise<void> {
  return Promise.reject(new SwarmError('RECORD_INVALID', 'the DHT of a swarm stores no public keys'))
}
