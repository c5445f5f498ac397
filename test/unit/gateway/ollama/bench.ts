import { afterAll, beforeAll, beforeEach, expect, vi } from 'vitest'
import type { GenerateEvent, GenerateRequest, ModelView } from '../../../../node/control/contract.js'
import { Gateway } from '../../../../node/gateway/server.js'
import { PipelineError } from '../../../../node/pipeline/errors.js'
import { embed } from '../no-embeddings.js'

export const HI = [{ role: 'user', content: 'hi' }]
const STAGE = {
  peer: 'p',
  name: 'one',
  start: 0,
  end: 4,
  local: true,
  link: 'origin',
  computeMs: 1,
  queuedMs: 0
} as const
const STATS = {
  ...{
    promptTokens: 2,
    cachedTokens: 0,
    generatedTokens: 3,
    firstTokenMs: 9,
    promptMs: 1.5,
    decodeMs: 2,
    tokensPerSecond: 1
  },
  ...{ stages: [STAGE], networkMs: 0, seed: 1, recoveries: 1 }
}
const logger = { info: vi.fn(), warn: vi.fn(), error: vi.fn(), debug: vi.fn() }

/** A gateway whose answers say what the prompt says; it runs while the tests of the file do that makes it. */
export class OllamaBench {
  /** What the swarm offers; the same again before each test. */
  offered: ModelView[] = []
  /** How often that was asked. */
  readonly models = vi.fn(() => Promise.resolve(this.offered))
  /** What the origin was asked last. */
  asked: GenerateRequest | undefined
  /** Lets a slow answer go on. */
  readonly slow = Promise.withResolvers<undefined>()
  readonly #gateway = new Gateway(
    { service: { generate: wanted => this.#generate(wanted), embed, models: this.models }, logger },
    { listen: { host: '127.0.0.1', port: 0 }, origins: ['https://chat.example.org'] }
  )

  constructor() {
    beforeAll(async () => this.#gateway.start())
    afterAll(async () => this.#gateway.stop())
    beforeEach(() => {
      this.offered = [model('toy'), model('odd:latest'), model('twin'), model('twin:latest')]
    })
  }

  get url(): string {
    return this.#gateway.url ?? ''
  }

  async post(path: string, body: unknown, headers: Record<string, string> = {}): Promise<Response> {
    return fetch(`${this.url}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: typeof body === 'string' ? body : JSON.stringify(body)
    })
  }

  /** The body of an answer in one piece. */
  async answer(path: string, body: object): Promise<unknown> {
    return (await this.post(path, { model: 'toy', stream: false, ...body })).json()
  }

  /** The lines of a stream. */
  async parts(path: string, body: object): Promise<Record<string, unknown>[]> {
    const response = await this.post(path, { model: 'toy', ...body })
    expect(response.headers.get('content-type')).toBe('application/x-ndjson')
    const text = await response.text()
    expect(text.endsWith('\n')).toBe(true)
    const lines = text.trimEnd().split('\n')
    return lines.map(line => JSON.parse(line) as Record<string, unknown>)
  }

  /** The status of a refusal, and what it says. */
  async refusal(path: string, body: unknown, headers?: Record<string, string>): Promise<[number, unknown]> {
    const response = await this.post(path, body, headers)
    const { error, ...more } = (await response.json()) as { error: unknown }
    expect(more).toEqual({})
    return [response.status, error]
  }

  /** Says what the prompt says, in two parts, and fails where that names an error. */
  async *#generate(wanted: GenerateRequest): AsyncGenerator<GenerateEvent> {
    this.asked = wanted
    const text = wanted.messages?.at(-1)?.content ?? wanted.prompt ?? ''
    await Promise.resolve()
    if (text === 'fail at once') throw new PipelineError('STAGE_LOST', 'gone')
    yield { event: 'route', stages: [], promptTokens: 2, cachedTokens: 0 }
    yield { event: 'text', text: text.slice(0, 1), tokens: [1] }
    yield { event: 'reroute', stages: [], lost: [], replayed: 3, elapsedMs: 4 }
    if (text === 'fail later') throw new PipelineError('STAGE_LOST', 'gone')
    if (text === 'be slow') await this.slow.promise
    yield { event: 'text', text: text.slice(1), tokens: [2] }
    if (wanted.tools !== undefined) yield { event: 'tool-call', name: 'weather', arguments: '{"city":"Ulm"}' }
    yield { event: 'text', text: '', tokens: [3] }
    yield { event: 'done', reason: text === 'too long' ? 'context' : 'stop-string', stats: STATS }
  }
}

export function model(name: string, missing: ModelView['missing'] = []): ModelView {
  const manifest = Buffer.from(name).toString('hex').padEnd(64, '0')
  const complete = missing.length === 0
  return { name, manifest, architecture: 'qwen3', layers: 8, cuts: [], complete, missing, holders: [] }
}

export const saying = (text: string): object => ({ model: 'toy', messages: [{ role: 'user', content: text }] })
export const mentioning = (text: string): string => expect.stringContaining(text) as string
