import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { GenerateEvent, GenerateRequest } from '../../../node/control/contract.js'
import { MAX_ANSWERS, RETRY_MS, TURN_MS } from '../../../node/gateway/constants.js'
import { Turns } from '../../../node/gateway/turns.js'
import type { EmbedEvent, EmbedRequest } from '../../../node/pipeline/embedding-types.js'
import { PipelineError } from '../../../node/pipeline/errors.js'
import { embed } from './no-embeddings.js'

const code = (value: string): Error => expect.objectContaining({ code: value }) as Error
const busy = (): PipelineError => new PipelineError('NO_ROUTE', 'busy', { details: { status: 'BUSY' } })
const text = (value: string): GenerateEvent => ({ event: 'text', text: value, tokens: [] })

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

/** A swarm with room for so many answers; each says its model's name and ends when it is told to. */
function swarm(room: number) {
  const ends = new Map<string, () => void>()
  const tried: string[] = []
  const answers = { room, ends, tried }
  async function* generate({ model }: GenerateRequest): AsyncGenerator<GenerateEvent> {
    tried.push(model)
    if (answers.room === 0) throw busy()
    answers.room--
    const { promise, resolve } = Promise.withResolvers<undefined>()
    ends.set(model, () => resolve(undefined))
    try {
      yield text(model)
      await promise
    } finally {
      answers.room++
    }
  }
  return Object.assign(answers, { turns: new Turns({ service: { generate, embed } }) })
}

function ask(turns: Turns, model: string, signal?: AbortSignal) {
  const answer = turns.generate({ model, prompt: '', sampling: {} }, signal && { signal })
  const first = answer.next()
  first.catch(() => undefined)
  return { first, end: async () => answer.next() }
}

describe('turns', () => {
  it('lets everybody in while there is room', async () => {
    const { turns } = swarm(2)
    expect((await ask(turns, 'a').first).value).toEqual(text('a'))
    expect((await ask(turns, 'b').first).value).toEqual(text('b'))
    expect(turns.load).toEqual({ answers: 2, waiting: 0 })
  })

  it('takes those who wait in the order in which they came, as soon as one of its answers ends', async () => {
    const { turns, ends, tried } = swarm(1)
    const a = ask(turns, 'a')
    await a.first
    const [b, c] = [ask(turns, 'b'), ask(turns, 'c')]
    await vi.advanceTimersByTimeAsync(0)
    expect(turns.load).toEqual({ answers: 3, waiting: 2 })
    ends.get('a')?.()
    await a.end()
    expect((await b.first).value).toEqual(text('b'))
    expect(turns.load).toEqual({ answers: 2, waiting: 1 })
    ends.get('b')?.()
    await b.end()
    expect((await c.first).value).toEqual(text('c'))
    // Nobody was in the queue yet when both came; then each tried when it was first in it, and there was room.
    expect(tried).toEqual(['a', 'b', 'c', 'b', 'c'])
  })

  it('tries again after a while: others make room too', async () => {
    const one = swarm(0)
    const a = ask(one.turns, 'a')
    await vi.advanceTimersByTimeAsync(RETRY_MS)
    expect(one.tried).toEqual(['a', 'a'])
    one.room = 1
    await vi.advanceTimersByTimeAsync(RETRY_MS)
    expect((await a.first).value).toEqual(text('a'))
  })

  it('does not let anybody wait for ever, nor more than a number', async () => {
    const { turns } = swarm(0)
    const waiting = Array.from({ length: MAX_ANSWERS }, (_, i) => ask(turns, String(i)))
    await vi.advanceTimersByTimeAsync(0)
    await expect(ask(turns, 'more').first).rejects.toThrow(code('OVERLOADED'))
    await vi.advanceTimersByTimeAsync(TURN_MS + RETRY_MS)
    for (const { first } of waiting) await expect(first).rejects.toThrow(code('OVERLOADED'))
    expect(turns.load).toEqual({ answers: 0, waiting: 0 })
  })

  it('lets who goes away out of the queue', async () => {
    const { turns, ends } = swarm(1)
    const a = ask(turns, 'a')
    await a.first
    const gone = new AbortController()
    const [b, c] = [ask(turns, 'b', gone.signal), ask(turns, 'c')]
    await vi.advanceTimersByTimeAsync(0)
    gone.abort(new Error('gone'))
    await expect(b.first).rejects.toThrow('gone')
    ends.get('a')?.()
    await a.end()
    await vi.advanceTimersByTimeAsync(RETRY_MS)
    expect((await c.first).value).toEqual(text('c'))
  })

  it('ends an answer whose reader leaves at its first event', async () => {
    const one = swarm(1)
    for await (const event of one.turns.generate({ model: 'a', prompt: '', sampling: {} })) {
      expect(event).toEqual(text('a'))
      break
    }
    expect([one.room, one.turns.load]).toEqual([1, { answers: 0, waiting: 0 }])
  })

  it('lets embeddings wait in the same queue', async () => {
    const vectors: EmbedEvent = { event: 'vectors', vectors: [] }
    let room = 0
    async function* make({ model }: EmbedRequest): AsyncGenerator<EmbedEvent> {
      if (room === 0) throw busy()
      yield await Promise.resolve<EmbedEvent>({ event: 'waiting', message: model })
      yield vectors
    }
    async function* generate(): AsyncGenerator<GenerateEvent> {
      yield await Promise.reject(busy())
    }
    const turns = new Turns({ service: { generate, embed: make } })
    const gone = new AbortController()
    const answer = ask(turns, 'a', gone.signal)
    const events = turns.embed({ model: 'b', input: ['x'] })
    const first = events.next()
    await vi.advanceTimersByTimeAsync(0)
    expect(turns.load).toEqual({ answers: 2, waiting: 2 })
    room = 1
    gone.abort(new Error('gone'))
    await expect(answer.first).rejects.toThrow('gone')
    await vi.advanceTimersByTimeAsync(RETRY_MS)
    expect([(await first).value, (await events.next()).value]).toEqual([{ event: 'waiting', message: 'b' }, vectors])
    expect((await events.next()).done).toBe(true)
    expect(turns.load).toEqual({ answers: 0, waiting: 0 })
  })

  it('passes other errors on at once', async () => {
    const generate = (): AsyncIterable<GenerateEvent> => {
      throw new PipelineError('UNKNOWN_MODEL', 'nobody')
    }
    const turns = new Turns({ service: { generate, embed } })
    await expect(ask(turns, 'a').first).rejects.toThrow(code('UNKNOWN_MODEL'))
    expect(turns.load).toEqual({ answers: 0, waiting: 0 })
  })
})
