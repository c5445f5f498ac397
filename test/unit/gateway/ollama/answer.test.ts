import { describe, expect, it, vi } from 'vitest'
import { HEARTBEAT_MS } from '../../../../node/gateway/constants.js'
import { HI, mentioning, model, OllamaBench, saying } from './bench.js'

const bench = new OllamaBench()
const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/) as string

describe("an answer in Ollama's form", () => {
  it('is a stream of lines unless the client says otherwise, and ends with what it took', async () => {
    const [one, two, last, ...more] = await bench.parts('/api/chat', { messages: HI })
    const facts = { model: 'toy', created_at: time }
    expect(one).toEqual({ ...facts, message: { role: 'assistant', content: 'h' }, done: false })
    expect(two).toEqual({ ...facts, message: { role: 'assistant', content: 'i' }, done: false })
    expect(last).toEqual({
      ...{ ...facts, message: { role: 'assistant', content: '' }, done: true, done_reason: 'stop' },
      ...{ total_duration: expect.any(Number) as number, load_duration: 0, prompt_eval_count: 2 },
      ...{ prompt_eval_duration: 1_500_000, eval_count: 3, eval_duration: 2_000_000 },
      flambeau: expect.objectContaining({
        route: [{ peer: 'p', name: 'one', start: 0, end: 4, local: true, link: 'origin', compute_ms: 1, queued_ms: 0 }],
        recoveries: [{ lost: [], replayed: 3, elapsed_ms: 4 }]
      }) as object
    })
    expect(more).toEqual([])
    expect(await bench.parts('/api/generate', { prompt: 'ab' })).toMatchObject([
      { response: 'a', done: false },
      { response: 'b', done: false },
      { response: '', done: true, done_reason: 'stop' }
    ])
  })

  it('is one object where no stream is wanted', async () => {
    expect(await bench.answer('/api/chat', { messages: HI })).toMatchObject({
      ...{ model: 'toy', message: { role: 'assistant', content: 'hi' }, done: true, done_reason: 'stop', eval_count: 3 }
    })
    expect(await bench.answer('/api/generate', { prompt: 'too long' })).toMatchObject({
      ...{ response: 'too long', done: true, done_reason: 'length' }
    })
  })

  it('says nothing in so many words while there is nothing to say: proxies close a silent stream', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
    try {
      const response = await bench.post('/api/chat', saying('be slow'))
      const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
      expect((await reader?.read())?.value).toContain('"content":"b"')
      vi.advanceTimersByTime(HEARTBEAT_MS)
      expect(JSON.parse((await reader?.read())?.value ?? '')).toEqual({
        ...{ model: 'toy', created_at: time, message: { role: 'assistant', content: '' }, done: false }
      })
      bench.slow.resolve(undefined)
      expect((await reader?.read())?.value).toContain('"content":"e slow"')
    } finally {
      vi.useRealTimers()
    }
  })

  it('is told apart from one that nobody asked for: clients load a model like that', async () => {
    bench.asked = undefined
    const empty = { model: 'toy:latest', created_at: time, done: true, done_reason: 'load' }
    const noMessage = { ...empty, message: { role: 'assistant', content: '' } }
    expect(await bench.answer('/api/generate', { model: 'toy:latest' })).toEqual({ ...empty, response: '' })
    expect(
      await bench.answer('/api/generate', { model: 'toy:latest', prompt: '', keep_alive: 0, stream: true })
    ).toEqual({
      ...{ ...empty, response: '' }
    })
    expect(await bench.answer('/api/chat', { model: 'toy:latest', messages: [] })).toEqual(noMessage)
    expect(await bench.answer('/api/chat', { model: 'toy:latest' })).toEqual(noMessage)
    expect(bench.asked).toBeUndefined()
    bench.offered = [model('toy', [{ start: 2, end: 4 }])]
    expect(await bench.refusal('/api/generate', { model: 'toy' })).toEqual([
      503,
      mentioning('Nobody serves layers 2-4 of toy')
    ])
    expect(await bench.refusal('/api/chat', { model: 'nobody', messages: [] })).toEqual([404, mentioning('"nobody"')])
  })
})
