import { describe, expect, it } from 'vitest'
import type { GenerateEvent, GenerateRequest, GenerateStats } from '../../../node/control/contract.js'
import type { EmbedEvent } from '../../../node/pipeline/embedding-types.js'
import { PipelineError } from '../../../node/pipeline/errors.js'
import { embed } from '../gateway/no-embeddings.js'
import { MANIFEST } from '../pipeline/toy-mesh.js'
import { MetricsBench } from './bench.js'

const REQUEST: GenerateRequest = { model: 'toy', prompt: 'hi', sampling: {} }
const ROUTE: GenerateEvent = { event: 'route', stages: [], promptTokens: 7, cachedTokens: 0 }
const DONE: GenerateEvent = { event: 'done', reason: 'stop', stats: { cachedTokens: 5 } as GenerateStats }
const text = (...tokens: number[]): GenerateEvent => ({ event: 'text', text: 'x', tokens })
const reroute = (elapsedMs: number, reason?: string): GenerateEvent => ({
  ...{ event: 'reroute', stages: [], replayed: 3, elapsedMs },
  lost: [{ peer: 'b', name: 'b', start: 0, end: 3, ...(reason !== undefined && { reason }) }]
})

/** Answers with these events; a number is milliseconds that pass before the next one, an error ends it. */
function answering(bench: MetricsBench, script: readonly (GenerateEvent | number | Error)[]) {
  return bench.metrics.answers({
    embed,
    generate: async function* () {
      for (const part of script) {
        await Promise.resolve()
        if (part instanceof Error) throw part
        if (typeof part === 'number') bench.clock.now += part
        else yield part
      }
    }
  })
}

async function read(events: AsyncIterable<GenerateEvent>): Promise<GenerateEvent[]> {
  const all: GenerateEvent[] = []
  for await (const event of events) all.push(event)
  return all
}

describe('MeteredAnswers', () => {
  it('hands on every event and counts the answer, its prompt and its tokens', async () => {
    const bench = new MetricsBench()
    const script = [ROUTE, text(1), text(2, 3), text(), DONE]
    expect(await read(answering(bench, script).generate(REQUEST))).toEqual(script)
    expect(await bench.value('flambeau_answers_total', { model: 'Toy', outcome: 'ok' })).toBe(1)
    expect(await bench.value('flambeau_prompt_tokens_total', { model: 'Toy' })).toBe(7)
    expect(await bench.value('flambeau_cached_prompt_tokens_total', { model: 'Toy' })).toBe(5)
    expect(await bench.value('flambeau_generated_tokens_total', { model: 'Toy' })).toBe(3)
  })

  it('measures what the reader waited for: the first text, then each token, not its own time', async () => {
    const bench = new MetricsBench()
    const answers = answering(bench, [200, ROUTE, 100, text(1), 40, text(2), 80, text(3, 4), DONE])
    for await (const event of answers.generate(REQUEST)) bench.clock.now += event.event === 'text' ? 10_000 : 0
    const model = { model: 'Toy' }
    expect(await bench.value('flambeau_first_token_seconds_sum', model)).toBeCloseTo(0.3)
    expect(await bench.value('flambeau_token_seconds_count', model)).toBe(3)
    expect(await bench.value('flambeau_token_seconds_sum', model)).toBeCloseTo(0.04 + 2 * 0.04)
  })

  it('counts the prompt once where the answer begins again', async () => {
    const bench = new MetricsBench()
    await read(answering(bench, [ROUTE, ROUTE, text(1), DONE]).generate(REQUEST))
    expect(await bench.value('flambeau_prompt_tokens_total', { model: 'Toy' })).toBe(7)
  })

  it('counts as cancelled what its reader left, or aborted, and keeps its tokens', async () => {
    const bench = new MetricsBench()
    for await (const { event } of answering(bench, [ROUTE, text(1), text(2), DONE]).generate(REQUEST)) {
      if (event === 'text') break
    }
    const abort = new AbortController()
    abort.abort()
    const aborted = answering(bench, [new Error('the reason of the signal')]).generate(REQUEST, abort)
    await expect(read(aborted)).rejects.toThrow('the reason')
    const cancelled = answering(bench, [new PipelineError('CANCELLED', 'The answer was cancelled.')])
    await expect(read(cancelled.generate(REQUEST))).rejects.toThrow('cancelled')
    expect(await bench.value('flambeau_answers_total', { model: 'Toy', outcome: 'cancelled' })).toBe(3)
    expect(await bench.value('flambeau_generated_tokens_total', { model: 'Toy' })).toBe(1)
  })

  it.each([
    ['the code of its error', new PipelineError('STAGE_LOST', 'gone'), 'STAGE_LOST'],
    ['INTERNAL where nobody foresaw it', new TypeError('oh'), 'INTERNAL']
  ])('counts a failure by %s', async (_what, error, outcome) => {
    const bench = new MetricsBench()
    await expect(read(answering(bench, [ROUTE, error]).generate(REQUEST))).rejects.toBe(error)
    expect(await bench.value('flambeau_answers_total', { model: 'Toy', outcome })).toBe(1)
  })

  it('counts a failure that comes as an event', async () => {
    const bench = new MetricsBench()
    const error = { code: 'NO_ROUTE', message: 'busy', details: {} }
    await read(answering(bench, [{ event: 'error', error }]).generate(REQUEST))
    expect(await bench.value('flambeau_answers_total', { model: 'Toy', outcome: 'NO_ROUTE' })).toBe(1)
  })

  it('counts recoveries by whether stages were lost or moved, and how long they took', async () => {
    const bench = new MetricsBench()
    const lost = { cause: 'lost' }
    expect(await bench.value('flambeau_recoveries_total', lost)).toBe(0)
    await read(answering(bench, [ROUTE, reroute(300, 'gone'), text(1), reroute(2_000), DONE]).generate(REQUEST))
    expect(await bench.value('flambeau_recoveries_total', lost)).toBe(1)
    expect(await bench.value('flambeau_recoveries_total', { cause: 'moved' })).toBe(1)
    expect(await bench.value('flambeau_recovery_seconds_sum')).toBeCloseTo(2.3)
    expect(await bench.value('flambeau_recovery_seconds_bucket', { le: '0.5' })).toBe(1)
  })

  it('calls a model by its name, whatever it was asked by, and one that nobody has other', async () => {
    const bench = new MetricsBench()
    for (const model of ['toy', MANIFEST, MANIFEST.slice(0, 8)]) {
      await read(answering(bench, [ROUTE, DONE]).generate({ ...REQUEST, model }))
    }
    const unknown = answering(bench, [new PipelineError('UNKNOWN_MODEL', 'nobody')])
    await expect(read(unknown.generate({ ...REQUEST, model: 'x'.repeat(99) }))).rejects.toThrow('nobody')
    const { samples = [] } = (await bench.families()).get('flambeau_answers_total') ?? {}
    expect(samples.map(({ labels, value }) => [labels['model'], labels['outcome'], value])).toEqual([
      ['Toy', 'ok', 3],
      ['other', 'UNKNOWN_MODEL', 1]
    ])
  })

  it('counts embeddings as answers without text', async () => {
    const bench = new MetricsBench()
    const script: EmbedEvent[] = [
      { event: 'route', stages: [], promptTokens: 9, cachedTokens: 0 },
      { event: 'vectors', vectors: [Float32Array.of(1)] }
    ]
    const answers = bench.metrics.answers({
      generate: () => answering(bench, []).generate(REQUEST),
      embed: async function* () {
        for (const event of script) yield await Promise.resolve(event)
      }
    })
    const events: EmbedEvent[] = []
    for await (const event of answers.embed({ model: 'toy', input: ['x'] })) events.push(event)
    expect(events).toEqual(script)
    expect(await bench.value('flambeau_answers_total', { model: 'Toy', outcome: 'ok' })).toBe(1)
    expect(await bench.value('flambeau_prompt_tokens_total', { model: 'Toy' })).toBe(9)
    expect(await bench.value('flambeau_first_token_seconds_count', { model: 'Toy' })).toBeUndefined()
  })

  it('shows how many are under way, and how many of these wait', async () => {
    const bench = new MetricsBench()
    const load = { answers: 0, waiting: 0 }
    bench.metrics.answersInTurn({ load, embed, generate: () => answering(bench, []).generate(REQUEST) })
    const gate = Promise.withResolvers<undefined>()
    const held = bench.metrics.answers({
      embed,
      generate: async function* () {
        yield ROUTE
        await gate.promise
      }
    })
    const reading = read(held.generate(REQUEST))
    await Promise.resolve()
    expect(await bench.value('flambeau_answers_running')).toBe(1)
    load.waiting = 1
    expect(await bench.value('flambeau_answers_running')).toBe(0)
    expect(await bench.value('flambeau_answers_waiting')).toBe(1)
    load.waiting = 0
    gate.resolve(undefined)
    await reading
    expect(await bench.value('flambeau_answers_running')).toBe(0)
  })
})
