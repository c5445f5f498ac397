import { randomBytes } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { z } from 'zod'
import { fromHex, toHex } from '../../protocol/bytes.js'
import { encodeInvitation, parseInvitation } from '../../protocol/invitation.js'
import { MAX_ADDRESSES, MAX_NAME_BYTES, SWARM_ID_BYTES, SWARM_KEY_BYTES } from '../../protocol/limits.js'
import { SwarmError } from './errors.js'
import { readPrivateFile, writePrivateFile } from './private-file.js'

/** The swarm that a home belongs to. */
export interface Membership {
  /** Of the swarm, for people. */
  name: string
  /** Swarm id: 16 random bytes, hex. */
  id: string
  /** Multiaddrs with /p2p/ of nodes to dial first. */
  bootstrap: string[]
  /** Pre-shared key of a closed swarm, 32 bytes; undefined for an open one. */
  key: Uint8Array | undefined
}

const hex = (bytes: number) => z.string().regex(new RegExp(`^[0-9a-f]{${2 * bytes}}$`))

const stored = z.object({
  name: z.string().min(1).max(MAX_NAME_BYTES),
  id: hex(SWARM_ID_BYTES),
  bootstrap: z.array(z.string()).max(MAX_ADDRESSES),
  key: hex(SWARM_KEY_BYTES).optional()
})

/** A new swarm of one. */
export function createMembership(name: string, { closed = false }: { closed?: boolean } = {}): Membership {
  return {
    name,
    id: randomBytes(SWARM_ID_BYTES).toString('hex'),
    bootstrap: [],
    key: closed ? new Uint8Array(randomBytes(SWARM_KEY_BYTES)) : undefined
  }
}

/**
 * What a pasted invitation leads to.
 * @throws InvitationError
 */
export function membershipFromInvitation(pasted: string): Membership {
  const { name, swarm, addresses, key } = parseInvitation(pasted)
  return { name, id: swarm, bootstrap: addresses, key: key === undefined ? undefined : Uint8Array.from(key) }
}

/**
 * One pasteable line. For a closed swarm it holds the key: whoever has it is a member.
 * @param addresses - where newcomers dial first, e.g. this node's own addresses followed by its bootstrap nodes
 */
export function invitationTo({ name, id, key }: Membership, addresses: string[]): string {
  const unique = [...new Set(addresses)].slice(0, MAX_ADDRESSES)
  return encodeInvitation({ name, swarm: id, addresses: unique, key })
}

/**
 * Undefined: this home belongs to no swarm yet.
 * @throws SwarmError MEMBERSHIP_DAMAGED
 */
export async function loadMembership(file: string): Promise<Membership | undefined> {
  const text = await readPrivateFile(file)
  if (text === undefined) return undefined
  try {
    const { name, id, bootstrap, key } = stored.parse(JSON.parse(text))
    return { name, id, bootstrap, key: key === undefined ? undefined : fromHex(key) }
  } catch (cause) {
    throw new SwarmError(
      'MEMBERSHIP_DAMAGED',
      `${file} does not hold a swarm membership. Delete it and join again with an invitation.`,
      { details: { file }, cause }
    )
  }
}

/**
 * Mode 0600: the key of a closed swarm is in it.
 * @throws SwarmError ALREADY_MEMBER when the home belongs to another swarm
 */
export async function saveMembership(file: string, membership: Membership): Promise<void> {
  const present = await loadMembership(file)
  if (present !== undefined && present.id !== membership.id) {
    throw new SwarmError(
      'ALREADY_MEMBER',
      `this node belongs to the swarm "${present.name}" already. Leave it first.`,
      {
        details: { swarm: present.id, name: present.name }
      }
    )
  }
  const { name, id, bootstrap, key } = membership
  const value: z.input<typeof stored> = { name, id, bootstrap }
  if (key !== undefined) value.key = toHex(key)
  await writePrivateFile(file, `${JSON.stringify(value, undefined, 2)}\n`)
}

/** Forgets the swarm; the node's identity stays. */
export async function leaveSwarm(file: string): Promise<void> {
  await rm(file, { force: true })
}
