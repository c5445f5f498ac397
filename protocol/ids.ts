/** Protocol ids, keys and domains. The version is part of each id: a change that breaks readers gets a new id. */

export const HELLO_PROTOCOL = '/flambeau/hello/1.0.0'
export const STATUS_PROTOCOL = '/flambeau/status/1.0.0'
export const STAGE_PROTOCOL = '/flambeau/stage/1.0.0'
export const RELAY_PROTOCOL = '/flambeau/relay/1.0.0'
export const PIECES_PROTOCOL = '/flambeau/pieces/1.0.0'

/** What is hashed like `providerKey` to name the providers that are nodes of a swarm. */
export function swarmKey(swarmId: string): string {
  return `/flambeau/${swarmId}/nodes`
}

/** The Kademlia protocol of one swarm, so that swarms neither mix nor touch the public IPFS DHT. */
export function kadProtocol(swarmId: string): string {
  return `/flambeau/${swarmId}/kad/1.0.0`
}

/** Domain string of the signed envelope around a node record. */
export const NODE_RECORD_DOMAIN = 'flambeau-node'

/** Payload type of that envelope, as UTF-8 bytes. */
export const NODE_RECORD_PAYLOAD_TYPE = '/flambeau/node-record/1'

/** Namespace of node records in the DHT: the text between the first two slashes of their keys. */
export const NODE_RECORD_NAMESPACE = 'flambeau-node'

export const NODE_RECORD_KEY_PREFIX = `/${NODE_RECORD_NAMESPACE}/`

/** DHT key of a peer's node record, UTF-8. */
export function nodeRecordKey(peer: string): Uint8Array {
  return new TextEncoder().encode(NODE_RECORD_KEY_PREFIX + peer)
}

/** The peer id in a DHT key of a node record; undefined for any other key. */
export function peerOfRecordKey(key: Uint8Array): string | undefined {
  const text = new TextDecoder().decode(key)
  return text.startsWith(NODE_RECORD_KEY_PREFIX) ? text.slice(NODE_RECORD_KEY_PREFIX.length) : undefined
}

/** Layers that share one provider record: few enough records to publish, few enough providers to ask. */
export const LAYERS_PER_BUCKET = 8

/**
 * What is hashed (SHA-256, then a CIDv1 with the raw codec) to name the providers of layers
 * `[bucket · LAYERS_PER_BUCKET, (bucket + 1) · LAYERS_PER_BUCKET)` of a model.
 *
 * @param manifest - manifest hash, lower-case hex
 */
export function providerKey(manifest: string, bucket: number): string {
  return `/flambeau/${manifest}/layers/${bucket}`
}
