import { z } from 'zod'
import type { Logger } from '../../logger.js'
import { readPrivateFile, writePrivateFile } from '../../swarm/private-file.js'
import { MAX_COUNTED_KEYS, USAGE_WRITE_MS } from './constants.js'
import { KeyError } from './errors.js'

const stored = z.strictObject({
  /** UTC. */
  day: z.iso.date(),
  /** By the key's hash. */
  tokens: z.record(z.string().regex(/^[0-9a-f]{64}$/), z.int().min(0))
})

export interface DailyTokensParts {
  /** Milliseconds since 1970. */
  now: () => number
  logger: Pick<Logger, 'warn'>
}

/** Tokens that each key has spent today, by UTC. On disk soon after, so that a restart gives nobody a second helping. */
export class DailyTokens {
  readonly #parts: DailyTokensParts
  readonly #file: string
  /** By the key's hash; who spent last comes last. */
  readonly #tokens = new Map<string, number>()
  #day: string
  #timer: NodeJS.Timeout | undefined
  #writing: Promise<void> = Promise.resolve()

  constructor(parts: DailyTokensParts, { file }: { file: string }) {
    this.#parts = parts
    this.#file = file
    this.#day = this.#today()
  }

  /** @throws KeyError KEYS_DAMAGED */
  async start(): Promise<void> {
    const text = await readPrivateFile(this.#file)
    if (text === undefined) return
    try {
      const { day, tokens } = stored.parse(JSON.parse(text))
      this.#day = day
      for (const [hash, count] of Object.entries(tokens)) this.#tokens.set(hash, count)
    } catch (cause) {
      const what = `${this.#file} does not hold the tokens that keys have spent today.`
      throw new KeyError('KEYS_DAMAGED', `${what} Delete it; they are counted from zero then.`, {
        ...{ details: { file: this.#file }, cause }
      })
    }
  }

  async stop(): Promise<void> {
    if (this.#timer !== undefined) this.#write()
    await this.#writing
  }

  of(hash: string): number {
    this.#turnDay()
    return this.#tokens.get(hash) ?? 0
  }

  add(hash: string, count: number): void {
    if (count <= 0) return
    const spent = this.of(hash) + count
    this.#tokens.delete(hash)
    this.#tokens.set(hash, spent)
    const [longest] = this.#tokens.keys()
    if (this.#tokens.size > MAX_COUNTED_KEYS && longest !== undefined) this.#tokens.delete(longest)
    this.#timer ??= setTimeout(() => this.#write(), USAGE_WRITE_MS).unref()
  }

  /** Seconds until everybody begins at zero. */
  secondsLeft(): number {
    const dayMs = 86_400_000
    return Math.ceil((dayMs - (this.#parts.now() % dayMs)) / 1_000)
  }

  #turnDay(): void {
    const today = this.#today()
    if (today === this.#day) return
    this.#day = today
    this.#tokens.clear()
  }

  #today(): string {
    return new Date(this.#parts.now()).toISOString().slice(0, 10)
  }

  /** One after another. */
  #write(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#writing = this.#writing.then(async () => {
      const text = JSON.stringify({ day: this.#day, tokens: Object.fromEntries(this.#tokens) })
      await writePrivateFile(this.#file, `${text}\n`).catch((err: unknown) =>
        this.#parts.logger.warn({ err }, 'the tokens that keys have spent cannot be written')
      )
    })
  }
}
