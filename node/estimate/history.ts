import { z } from 'zod'
import type { EstimateView } from '../control/plan.js'
import type { Logger } from '../logger.js'
import { readPrivateFile, writePrivateFile } from '../swarm/private-file.js'
import { MAX_HISTORY, WRITE_MS } from './constants.js'
import type { Experience } from './correction.js'

/** Stages of a route, each with a peer's name. */
const MAX_PATH = 16_384

const seconds = z.number().min(0)
const times = z.strictObject({ token: seconds, prompt: seconds, open: seconds })
const count = z.int().min(0)

/** Nothing of what was asked or answered. */
const answer = z.strictObject({
  /** Milliseconds since 1970. */
  at: count,
  model: z.string().max(1024),
  route: z.strictObject({
    manifest: z.string().regex(/^[0-9a-f]{64}$/),
    stages: count,
    ways: count,
    path: z.string().max(MAX_PATH)
  }),
  promptTokens: count,
  /** Of the prompt: there already, from an earlier answer. */
  cachedTokens: count.default(0),
  generatedTokens: count,
  recoveries: count,
  /** Uncorrected, what was told, and what came. */
  estimated: times,
  told: times,
  measured: times
})
const stored = z.array(answer).max(MAX_HISTORY)

export type RememberedAnswer = z.output<typeof answer>

export interface EstimateHistoryParts {
  logger: Pick<Logger, 'warn'>
}

/** The last answers with what was expected of them; on disk soon after. */
export class EstimateHistory {
  readonly #parts: EstimateHistoryParts
  readonly #file: string
  /** Oldest first. */
  #answers: RememberedAnswer[] = []
  #timer: NodeJS.Timeout | undefined
  #writing: Promise<void> = Promise.resolve()

  constructor(parts: EstimateHistoryParts, { file }: { file: string }) {
    this.#parts = parts
    this.#file = file
  }

  /** A file that cannot be used is left out of account, and replaced after the next answer. */
  async start(): Promise<void> {
    try {
      this.#answers = await readAnswers(this.#file)
    } catch (err) {
      this.#parts.logger.warn({ err, file: this.#file }, 'earlier estimates cannot be read; they start anew')
    }
  }

  async stop(): Promise<void> {
    if (this.#timer !== undefined) this.#write()
    await this.#writing
  }

  /** Oldest first. */
  list(): readonly RememberedAnswer[] {
    return this.#answers
  }

  add(remembered: RememberedAnswer): void {
    this.#answers = [...this.#answers, remembered].slice(-MAX_HISTORY)
    this.#timer ??= setTimeout(() => this.#write(), WRITE_MS).unref()
  }

  /** One after another. */
  #write(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#writing = this.#writing.then(async () => {
      await writePrivateFile(this.#file, `${JSON.stringify(this.#answers)}\n`).catch((err: unknown) =>
        this.#parts.logger.warn({ err }, 'the estimates of the last answers cannot be written')
      )
    })
  }
}

/** None where there is no file. @throws SyntaxError, ZodError where it is damaged */
export async function readAnswers(file: string): Promise<RememberedAnswer[]> {
  const text = await readPrivateFile(file)
  return text === undefined ? [] : stored.parse(JSON.parse(text))
}

/** Those whose route stayed what it was. */
export function experiences(answers: readonly RememberedAnswer[]): Experience[] {
  return answers.filter(({ recoveries }) => recoveries === 0)
}

export function estimateView({ route, told, measured, ...facts }: RememberedAnswer): EstimateView {
  const { at, model, promptTokens, cachedTokens, generatedTokens, recoveries } = facts
  return {
    ...{ at, model, manifest: route.manifest, stages: route.stages },
    ...{ promptTokens, cachedTokens, generatedTokens, recoveries },
    estimated: speedOf(told),
    measured: speedOf(measured)
  }
}

/** As people know it. @param times seconds */
export function speedOf({ token, prompt, open }: z.output<typeof times>): EstimateView['estimated'] {
  return { tokensPerSecond: token > 0 ? 1 / token : 0, firstTokenMs: (open + prompt) * 1_000 }
}
