import { createHash, randomBytes } from 'node:crypto'
import { z } from 'zod'
import * as limits from './constants.js'

/** Shown on terminals: nothing in it may move the cursor. */
export const keyName = z
  .string()
  .min(1)
  .max(limits.MAX_KEY_NAME)
  .regex(/^[^\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]*$/u)
export const keyModels = z.array(z.string().min(1).max(limits.MAX_MODEL_NAME)).min(1).max(limits.MAX_KEY_MODELS)

/** A key as it is stored: without its secret. */
export const storedKey = z.strictObject({
  name: keyName,
  /** SHA-256 of the secret, hex. */
  hash: z.string().regex(/^[0-9a-f]{64}$/),
  /** As `expires`, a time such as 2026-01-31T12:00:00.000Z. */
  created: z.iso.datetime(),
  /** Names or manifest hashes of the models that it may use; absent: all. */
  models: keyModels.optional(),
  /** Requests a minute. */
  rpm: z.int().min(1).max(limits.MAX_RPM).optional(),
  /** Tokens of prompts and answers, a day by UTC. */
  tokensPerDay: z.int().min(1).max(limits.MAX_TOKENS_PER_DAY).optional(),
  expires: z.iso.datetime().optional()
})

/** What a program may do through the gateway. */
export type Key = z.output<typeof storedKey>

/** `flambeau-` and 43 characters of base64url. */
export function newSecret(): string {
  return `${limits.SECRET_PREFIX}${randomBytes(limits.SECRET_BYTES).toString('base64url')}`
}

/** May be one of ours; clients that need none send `none`, or a key of somebody else's. */
export function looksLikeSecret(text: string): boolean {
  return text.startsWith(limits.SECRET_PREFIX)
}

/**
 * SHA-256, once: a secret is 32 random bytes, which nobody finds by trying. The slow hashes that passwords need would
 * protect nothing here, and cost every request.
 */
export function digestOf(secret: string): Buffer {
  return createHash('sha256').update(secret).digest()
}

/** @param now - milliseconds since 1970 */
export function isExpired({ expires }: Pick<Key, 'expires'>, now: number): boolean {
  return expires !== undefined && Date.parse(expires) <= now
}
