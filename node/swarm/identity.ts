import { generateKeyPair, privateKeyFromProtobuf, privateKeyToProtobuf } from '@libp2p/crypto/keys'
import type { Ed25519PrivateKey } from '@libp2p/interface'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { SwarmError } from './errors.js'
import { readPrivateFile, writePrivateFile } from './private-file.js'

export interface Identity {
  privateKey: Ed25519PrivateKey
  /** Peer id as text. */
  peer: string
}

/** A new key that is not stored anywhere. */
export async function createIdentity(): Promise<Identity> {
  return identityOf(await generateKeyPair('Ed25519'))
}

/**
 * The node's key from `file` (base64 of libp2p's protobuf form, mode 0600), created there the first time.
 * @throws SwarmError IDENTITY_DAMAGED: never replaced silently, since others know the node by its key.
 */
export async function loadOrCreateIdentity(file: string): Promise<Identity> {
  const text = await readPrivateFile(file)
  if (text !== undefined) return identityOf(parseKey(file, text))
  const identity = await createIdentity()
  await writePrivateFile(file, `${Buffer.from(privateKeyToProtobuf(identity.privateKey)).toString('base64')}\n`)
  return identity
}

function parseKey(file: string, text: string): Ed25519PrivateKey {
  try {
    const key = privateKeyFromProtobuf(Buffer.from(text.trim(), 'base64'))
    if (key.type === 'Ed25519') return key
    throw new Error(`the key is of type ${key.type}`)
  } catch (cause) {
    throw new SwarmError(
      'IDENTITY_DAMAGED',
      `${file} does not hold an Ed25519 key. Restore it from a backup, or delete it: the node then gets a new peer id.`,
      { details: { file }, cause }
    )
  }
}

function identityOf(privateKey: Ed25519PrivateKey): Identity {
  return { privateKey, peer: peerIdFromPrivateKey(privateKey).toString() }
}
