/**
 * Who asks. On an address that only this machine reaches, whoever sends no key of ours is its owner; a key of ours is
 * checked and limited there too. On any other address there is no owner: a valid key is needed for everything.
 */
import type { IncomingHttpHeaders } from 'node:http'
import type { Answering } from './answering.js'
import { GatewayError } from './errors.js'
import { looksLikeSecret, type Key } from './keys/key.js'
import { KeyedService } from './keys/keyed-service.js'
import { invalidKey, type HeldKey, type Keyring } from './keys/keyring.js'

/** Who sent a request. */
export type Caller = { kind: 'owner' } | { kind: 'key'; name: string; key: Key }

declare module 'fastify' {
  interface FastifyRequest {
    /** Undefined until it is known, and for whoever was refused. */
    caller: Caller | undefined
  }
}

export interface AuthorizationParts {
  /** Undefined: there are no keys. */
  keyring: Keyring | undefined
  service: Answering
}

export class Authorization {
  readonly #parts: AuthorizationParts
  readonly #required: boolean

  /** @param required without a key nobody gets in */
  constructor(parts: AuthorizationParts, { required }: { required: boolean }) {
    this.#parts = parts
    this.#required = required
  }

  /** @throws GatewayError INVALID_KEY, RATE_LIMITED */
  identify(headers: IncomingHttpHeaders): Caller {
    const secret = secretIn(headers)
    if (secret === undefined || !looksLikeSecret(secret)) {
      if (!this.#required) return { kind: 'owner' }
      throw new GatewayError('INVALID_KEY', 'This node wants a key: send it as `Authorization: Bearer KEY`.')
    }
    const held = this.#find(secret)
    if (held === undefined) throw invalidKey()
    const { key, rate } = held
    if (rate?.take(key.hash) === false) throw rateLimited(key, rate.wait(key.hash))
    return { kind: 'key', name: key.name, key }
  }

  /** What the caller may ask. @throws GatewayError INVALID_KEY */
  serviceFor(caller: Caller | undefined): Answering {
    const { keyring, service } = this.#parts
    if (caller?.kind === 'owner') return service
    if (caller === undefined || keyring === undefined) throw invalidKey()
    return new KeyedService({ service, keyring }, caller.key)
  }

  /** Where the files are, and what is wrong with them, is for the log. */
  #find(secret: string): HeldKey | undefined {
    try {
      return this.#parts.keyring?.find(secret)
    } catch (cause) {
      throw new Error('the keys cannot be read', { cause })
    }
  }
}

/** Of the two places where clients put it, the one with a key of ours. */
function secretIn({ authorization = '', 'x-api-key': other }: IncomingHttpHeaders): string | undefined {
  const bearer = /^bearer +(\S+) *$/i.exec(authorization)?.[1]
  const sent = [bearer, other].filter(text => typeof text === 'string')
  return sent.find(looksLikeSecret) ?? sent[0]
}

/** @param waitMs until there is room for one more */
function rateLimited({ rpm }: Key, waitMs: number): GatewayError {
  const retryAfterSeconds = Math.max(1, Math.ceil(waitMs / 1_000))
  const message = `This key may ask ${rpm ?? 0} times a minute. Ask again in ${retryAfterSeconds} s.`
  return new GatewayError('RATE_LIMITED', message, { details: { rpm, retryAfterSeconds } })
}
