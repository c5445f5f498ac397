import { createHash } from 'node:crypto'
import { addressList, bytesOf, exactBytes, hexOf, someText } from './checks.js'
import { decodeMessage } from './codec.js'
import { CodedError } from './errors.js'
import { flambeau } from './generated/messages.js'
import { MAX_INVITATION_CHARACTERS, MAX_NAME_BYTES, SWARM_ID_BYTES, SWARM_KEY_BYTES } from './limits.js'

/** What one needs to join a swarm. */
export interface Invitation {
  /** Of the swarm, for people. */
  name: string
  /** Swarm id, hex. */
  swarm: string
  /** Multiaddrs with /p2p/ of nodes to dial first. */
  addresses: string[]
  /** Pre-shared key, 32 bytes; undefined for an open swarm. */
  key: Uint8Array | undefined
}

export type InvitationErrorCode = 'NOT_AN_INVITATION' | 'INVITATION_DAMAGED' | 'INVITATION_VERSION'

/** A pasted text cannot be used as an invitation. */
export class InvitationError extends CodedError<InvitationErrorCode> {
  override name = 'InvitationError'
}

export const INVITATION_PREFIX = 'flambeau:'

export const INVITATION_VERSION = 1

const CHECKSUM_BYTES = 4

/** Base64url is as long as this for the message and its checksum, at the most. */
const LIMITS = { bytes: MAX_INVITATION_CHARACTERS }

/**
 * One pasteable line: `flambeau:` and base64url of the message followed by the first 4 bytes of its SHA-256.
 *
 * @throws ProtocolError - when a value is outside the limits
 */
export function encodeInvitation({ name, swarm, addresses, key }: Invitation): string {
  const message = flambeau.Invitation.encode({
    version: INVITATION_VERSION,
    name: someText('swarm name', name, MAX_NAME_BYTES),
    swarm: bytesOf('swarm id', swarm, SWARM_ID_BYTES),
    addresses: addressList('an invitation', addresses),
    key: key === undefined ? null : exactBytes('swarm key', key, SWARM_KEY_BYTES)
  }).finish()
  return INVITATION_PREFIX + Buffer.concat([message, checksum(message)]).toString('base64url')
}

/**
 * Reads an invitation as people paste it: white space anywhere, quotes around it.
 *
 * @throws InvitationError
 */
export function parseInvitation(pasted: string): Invitation {
  const text = pasted.slice(0, MAX_INVITATION_CHARACTERS + 1).replace(/[\s\u200b\ufeff"'`<>]+/gu, '')
  if (!text.toLowerCase().startsWith(INVITATION_PREFIX)) {
    throw new InvitationError('NOT_AN_INVITATION', 'this is not an invitation: one starts with "flambeau:"')
  }
  const encoded = text.slice(INVITATION_PREFIX.length)
  const bytes = Buffer.from(encoded, 'base64url')
  const message = bytes.subarray(0, -CHECKSUM_BYTES)
  const complete = pasted.length <= MAX_INVITATION_CHARACTERS && bytes.toString('base64url') === encoded
  if (!complete || message.length === 0 || !checksum(message).equals(bytes.subarray(-CHECKSUM_BYTES))) {
    throw damaged('the invitation is damaged, copy all of it again')
  }
  return decodeInvitation(message)
}

function decodeInvitation(bytes: Uint8Array): Invitation {
  try {
    const message = decodeMessage('invitation', bytes, LIMITS, reader => flambeau.Invitation.decode(reader))
    if (message.version !== INVITATION_VERSION) throw otherVersion(message.version)
    return {
      name: someText('swarm name', message.name, MAX_NAME_BYTES),
      swarm: hexOf('swarm id', message.swarm, SWARM_ID_BYTES),
      addresses: addressList('an invitation', message.addresses),
      key: message.key.length === 0 ? undefined : exactBytes('swarm key', message.key, SWARM_KEY_BYTES)
    }
  } catch (cause) {
    if (cause instanceof InvitationError) throw cause
    throw damaged('the invitation holds what this version cannot read, ask for a new one', cause)
  }
}

function damaged(message: string, cause?: unknown): InvitationError {
  return new InvitationError('INVITATION_DAMAGED', message, { cause })
}

function otherVersion(version: number): InvitationError {
  const message = `the invitation is of version ${version} and this flambeau reads version ${INVITATION_VERSION}: `
  return new InvitationError('INVITATION_VERSION', `${message}update flambeau or ask for another invitation`, {
    details: { version, supported: INVITATION_VERSION }
  })
}

function checksum(message: Uint8Array): Buffer {
  return createHash('sha256').update(message).digest().subarray(0, CHECKSUM_BYTES)
}
