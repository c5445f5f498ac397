import { describe, expect, it, vi } from 'vitest'
import { answer, type AnswerEvent, type AnswerOptions } from '../../../node/pipeline/answer.js'
import { STEPS_IN_FLIGHT } from '../../../node/pipeline/prompt.js'
import type { StepAnswer, StepRequest } from '../../../node/pipeline/session-types.js'
import { GREEDY } from './greedy.js'

const END = 0
/** Token 1 is "a", 2 is "b", ...; 0 ends the answer. */
const TOKENIZER = {
  bytesOf: (token: number) => Uint8Array.of(96 + token),
  isEndOfGeneration: (token: number) => token === END
}
const OPTIONS: AnswerOptions = {
  prompt: Uint32Array.of(9),
  stages: 1,
  sampling: GREEDY,
  stop: [],
  maxTokens: 100,
  context: 100
}

/** A session that says these tokens one after the other. */
function saying(tokens: readonly number[], rowsPerStep = 64) {
  const requests: StepRequest[] = []
  let said = 0
  const step = (request: StepRequest): Promise<StepAnswer> => {
    requests.push(request)
    const token = request.want.rows === 0 ? undefined : tokens[said++]
    const row = token === undefined ? [] : [{ ids: Uint32Array.of(token), logits: new Float32Array(1), logSumExp: 0 }]
    return Promise.resolve({ rows: row, timings: [], elapsed: 1 })
  }
  return { requests, session: { step, rowsPerStep } }
}

async function eventsOf(tokens: readonly number[], options: Partial<AnswerOptions> = {}): Promise<AnswerEvent[]> {
  return read(answer(saying(tokens).session, TOKENIZER, { ...OPTIONS, ...options }))
}

async function read(events: AsyncIterable<AnswerEvent>): Promise<AnswerEvent[]> {
  const all: AnswerEvent[] = []
  for await (const event of events) all.push(event)
  return all
}

const summary = (events: readonly AnswerEvent[]): [string, string | undefined] => {
  const end = events.at(-1)
  return [events.map(({ text }) => text).join(''), end?.type === 'end' ? end.reason : undefined]
}

describe('an answer', () => {
  it('ends where the model ends it, without that token', async () => {
    const events = await eventsOf([1, 2, 3, END])
    expect(summary(events)).toEqual(['abc', 'stop'])
    expect(events.map(event => (event.type === 'token' ? event.token : 'end'))).toEqual([1, 2, 3, 'end'])
  })

  it('may end before it began', async () => {
    expect(summary(await eventsOf([END]))).toEqual(['', 'stop'])
  })

  it('ends at the number of tokens that was asked for', async () => {
    expect(summary(await eventsOf([1, 2, 3, 4], { maxTokens: 2 }))).toEqual(['ab', 'length'])
  })

  it("ends where the model's context does", async () => {
    expect(summary(await eventsOf([1, 2, 3, 4], { context: 4 }))).toEqual(['abc', 'context'])
  })

  it('ends before a stop string, also one that is spread over tokens', async () => {
    expect(summary(await eventsOf([1, 2, 3, 4, 5], { stop: ['cd'] }))).toEqual(['ab', 'stop-string'])
  })

  it('shows what looked like a stop string when it turns out not to be one', async () => {
    expect(summary(await eventsOf([1, 2, 3, END], { stop: ['cd'] }))).toEqual(['abc', 'stop'])
  })

  it('asks for one token after the other, each at the next position', async () => {
    const { requests, session } = saying([1, 2, END])
    await read(answer(session, TOKENIZER, { ...OPTIONS, prompt: Uint32Array.of(7, 8) }))
    expect(requests.map(({ tokens, position }) => [[...tokens], position])).toEqual([
      [[7, 8], 0],
      [[1], 2],
      [[2], 3]
    ])
  })

  it('wants candidates for the last row of a prompt only', async () => {
    const { requests, session } = saying([END], 40)
    const prompt = Uint32Array.from({ length: 100 }, (_, i) => i)
    await read(answer(session, TOKENIZER, { ...OPTIONS, prompt, context: 200 }))
    expect(requests.map(({ tokens, want }) => [tokens.length, want.rows])).toEqual([
      [34, 0],
      [33, 0],
      [33, 1]
    ])
    expect(requests.flatMap(({ tokens }) => [...tokens])).toEqual([...prompt])
  })

  it('keeps a bounded number of chunks under way', async () => {
    const waiting: (() => void)[] = []
    let most = 0
    const step = (): Promise<StepAnswer> =>
      new Promise(resolve => {
        const done = (): void => resolve({ rows: [row(END)], timings: [], elapsed: 1 })
        most = Math.max(most, waiting.push(done))
      })
    const options = { ...OPTIONS, prompt: new Uint32Array(1_000), context: 2_000 }
    const reading = answer({ step, rowsPerStep: 10 }, TOKENIZER, options).next()
    for (let chunk = 0; chunk < 100; chunk++) {
      await vi.waitFor(() => expect(waiting.length).toBeGreaterThan(0))
      waiting.shift()?.()
    }
    await reading
    expect(most).toBe(STEPS_IN_FLIGHT)
  })

  it('rejects with what a chunk of its prompt was refused with, and nothing else is left to reject', async () => {
    let steps = 0
    const step = (): Promise<StepAnswer> => Promise.reject(new Error(`refused ${++steps}`))
    const options = { ...OPTIONS, prompt: new Uint32Array(300), context: 400 }
    await expect(answer({ step, rowsPerStep: 10 }, TOKENIZER, options).next()).rejects.toThrow('refused 1')
  })
})

function row(token: number) {
  return { ids: Uint32Array.of(token), logits: new Float32Array(1), logSumExp: 0 }
}
