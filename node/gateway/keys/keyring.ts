import { timingSafeEqual } from 'node:crypto'
import type { Logger } from '../../logger.js'
import { RateLimit } from '../../trust/rate-limit.js'
import { GatewayError } from '../errors.js'
import { LOOK_MS } from './constants.js'
import { DailyTokens } from './daily-tokens.js'
import { KeyFolder } from './folder.js'
import { digestOf, isExpired, type Key } from './key.js'

/** A key in use. */
export interface HeldKey {
  key: Key
  /** SHA-256 of its secret. */
  digest: Buffer
  /** Of its requests; undefined where they are not limited. */
  rate: RateLimit | undefined
}

export interface KeyringParts {
  logger: Pick<Logger, 'error' | 'warn'>
  /** Milliseconds, monotonic. */
  now: () => number
  /** Milliseconds since 1970. */
  wallNow: () => number
}

/**
 * The keys of a running gateway. Commands change the folder and tell nobody: this looks at it with every request, which
 * costs one `stat`, and every quarter of a second while answers for keys are under way. So a revocation needs no
 * running node, a running node needs no restart, and neither depends on notifications that some file systems do not have.
 */
export class Keyring {
  readonly tokens: DailyTokens
  readonly #parts: KeyringParts
  readonly #folder: KeyFolder
  /** Answers under way, with the hash of the key that each is for. */
  readonly #answers = new Map<AbortController, string>()
  #held: readonly HeldKey[] = []
  #mark: string | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(parts: KeyringParts, { keysFolder, keysUsageFile }: { keysFolder: string; keysUsageFile: string }) {
    this.#parts = parts
    this.#folder = new KeyFolder(keysFolder)
    this.tokens = new DailyTokens({ now: parts.wallNow, logger: parts.logger }, { file: keysUsageFile })
  }

  /** @throws KeyError KEYS_DAMAGED */
  async start(): Promise<void> {
    this.#valid()
    await this.tokens.start()
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer)
    this.#timer = undefined
    await this.tokens.stop()
  }

  /** There is a key that opens something. @throws KeyError KEYS_DAMAGED */
  hasAny(): boolean {
    return this.#valid().length > 0
  }

  /** Undefined for what is no key, or no longer one. @throws KeyError KEYS_DAMAGED */
  find(secret: string): HeldKey | undefined {
    const digest = digestOf(secret)
    let found: HeldKey | undefined
    // All of them, each in constant time: how long it takes tells nothing of any.
    for (const held of this.#valid()) if (timingSafeEqual(held.digest, digest)) found = held
    return found
  }

  /** A signal that aborts with its parent, or when the key is no longer valid. Dispose it when the answer is over. */
  underWay({ hash }: Pick<Key, 'hash'>, parent: AbortSignal | undefined): { signal: AbortSignal } & Disposable {
    const answer = new AbortController()
    const onAbort = (): void => answer.abort(parent?.reason)
    if (parent?.aborted === true) onAbort()
    parent?.addEventListener('abort', onAbort, { once: true })
    this.#answers.set(answer, hash)
    this.#timer ??= setInterval(() => this.#endRevoked(), LOOK_MS).unref()
    const dispose = (): void => {
      parent?.removeEventListener('abort', onAbort)
      this.#answers.delete(answer)
      if (this.#answers.size > 0) return
      clearInterval(this.#timer)
      this.#timer = undefined
    }
    return { signal: answer.signal, [Symbol.dispose]: dispose }
  }

  #endRevoked(): void {
    try {
      const valid = new Set(this.#valid().map(({ key }) => key.hash))
      for (const [answer, hash] of this.#answers) if (!valid.has(hash)) answer.abort(invalidKey())
    } catch (err) {
      this.#parts.logger.error({ err }, 'the keys of the gateway cannot be read: answers for them end')
      for (const answer of this.#answers.keys()) answer.abort(new Error('the keys cannot be read', { cause: err }))
    }
  }

  #valid(): readonly HeldKey[] {
    const now = this.#parts.wallNow()
    const mark = this.#folder.mark(now)
    if (mark === undefined || mark !== this.#mark) {
      this.#held = this.#folder.list().map(key => this.#hold(key))
      this.#mark = mark
    }
    return this.#held.filter(({ key }) => !isExpired(key, now))
  }

  /** One that is held already keeps count of its requests. */
  #hold(key: Key): HeldKey {
    const held = this.#held.find(one => one.key.hash === key.hash)
    if (held !== undefined) return held
    const { now } = this.#parts
    const { hash, rpm } = key
    const rate = rpm === undefined ? rpm : new RateLimit({ now }, { perSecond: rpm / 60, burst: rpm }, { peers: 1 })
    return { key, digest: Buffer.from(hash, 'hex'), rate }
  }
}

/** The same for all reasons: who tries keys learns nothing. */
export function invalidKey(): GatewayError {
  return new GatewayError('INVALID_KEY', 'This key is not valid: it is unknown, has expired or was revoked.')
}
