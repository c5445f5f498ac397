import { describe, expect, it, vi } from 'vitest'
import type { GenerateEvent, GenerateRequest, ModelView } from '../../../../node/control/contract.js'
import { LOOK_MS } from '../../../../node/gateway/keys/constants.js'
import type { Answering } from '../../../../node/gateway/answering.js'
import { KeyedService } from '../../../../node/gateway/keys/keyed-service.js'
import type { Key } from '../../../../node/gateway/keys/key.js'
import type { EmbedEvent, EmbedRequest } from '../../../../node/pipeline/embedding-types.js'
import { PipelineError } from '../../../../node/pipeline/errors.js'
import { keysAtHome, type KeysAtHome } from './keys.js'

const code = (value: string): Error => expect.objectContaining({ code: value }) as Error
const model = (name: string, digit: string): ModelView => ({
  ...{ name, manifest: digit.repeat(64), architecture: 'toy', layers: 1, cuts: [], complete: true, missing: [] },
  holders: []
})
const MODELS = [model('ember', 'a'), model('other', 'b'), model('twin', 'c'), model('twin', 'd')]
const STATS = {
  ...{
    promptTokens: 5,
    cachedTokens: 0,
    generatedTokens: 4,
    firstTokenMs: 1,
    promptMs: 1,
    decodeMs: 1,
    tokensPerSecond: 1
  },
  ...{ stages: [], networkMs: 0, seed: 1, recoveries: 0 }
}

/** Five tokens of prompt, three with text, and one that ends it. */
class Swarm implements Answering {
  asked: Pick<GenerateRequest, 'model'>[] = []
  ended = 0

  models(): Promise<ModelView[]> {
    return Promise.resolve(MODELS)
  }

  async *generate(request: GenerateRequest, { signal }: { signal?: AbortSignal } = {}): AsyncGenerator<GenerateEvent> {
    this.asked.push(request)
    try {
      yield await Promise.resolve({ event: 'route', stages: [], promptTokens: 5, cachedTokens: 0 })
      for (let i = 0; i < 3; i++) {
        if (signal?.aborted === true) throw new PipelineError('CANCELLED', 'as the origin says it')
        yield { event: 'text', text: 'x', tokens: [i] }
      }
      yield { event: 'done', reason: 'stop', stats: STATS }
    } finally {
      this.ended++
    }
  }

  /** Two tokens a text. */
  async *embed(request: EmbedRequest): AsyncGenerator<EmbedEvent> {
    this.asked.push(request)
    try {
      yield await Promise.resolve({
        event: 'route',
        stages: [],
        promptTokens: 2 * request.input.length,
        cachedTokens: 0
      })
      yield { event: 'vectors', vectors: request.input.map(() => Float32Array.of(1)) }
    } finally {
      this.ended++
    }
  }
}

async function serviceFor(home: KeysAtHome, changes: Partial<Key>) {
  const { key } = await home.add(changes)
  const swarm = new Swarm()
  const service = new KeyedService({ service: swarm, keyring: home.keyring }, key)
  const ask = async (wanted = 'ember'): Promise<string[]> => {
    const events: string[] = []
    for await (const { event } of service.generate({ model: wanted, prompt: '', sampling: {} })) events.push(event)
    return events
  }
  return { key, swarm, service, ask, spent: (): number => home.keyring.tokens.of(key.hash) }
}

describe('the models of a key', () => {
  it('are all unless it says which', async () => {
    await using home = await keysAtHome()
    const { service, ask, swarm } = await serviceFor(home, {})
    expect(await service.models()).toEqual(MODELS)
    await ask('twin')
    expect(swarm.asked.map(({ model }) => model)).toEqual(['twin'])
  })

  it.each([
    [
      'its name',
      ['ember'],
      ['ember', 'EMBER', 'a'.repeat(64), 'aaaaaa'],
      ['other', 'b'.repeat(64), 'bbbbbb', 'nobody']
    ],
    ['its hash', ['a'.repeat(64)], ['ember', 'aaaaaaa'], ['other', 'bbbbbbbb', 'twin']],
    ['the beginning of its hash', ['AAAAAA'], ['ember', 'a'.repeat(64)], ['other', 'b'.repeat(64)]],
    ['the hash of one of two with a name', ['d'.repeat(64)], ['twin', 'dddddd'], ['cccccc', 'ember']]
  ])('are those that it names by %s, however a request names them', async (_how, models, open, closed) => {
    await using home = await keysAtHome()
    const { service, ask, swarm } = await serviceFor(home, { models })
    const seen = await service.models()
    expect(seen).toHaveLength(1)
    for (const wanted of open) await ask(wanted)
    // The hash: no other model of that name can answer instead.
    expect(new Set(swarm.asked.map(({ model }) => model))).toEqual(new Set([seen[0]?.manifest]))
    for (const wanted of closed) await expect(ask(wanted)).rejects.toThrow(code('MODEL_NOT_ALLOWED'))
    expect(swarm.asked).toHaveLength(open.length)
  })

  it('may have a name that others have too, or that nobody offers now', async () => {
    await using home = await keysAtHome()
    const { ask, swarm } = await serviceFor(home, { models: ['twin', 'coming'] })
    await expect(ask('twin')).rejects.toThrow(code('AMBIGUOUS_MODEL'))
    await ask('dddddd')
    await ask('Coming') // the origin asks the swarm once more
    expect(swarm.asked.map(({ model }) => model)).toEqual(['d'.repeat(64), 'Coming'])
  })
})

describe('the tokens of a key', () => {
  it('are those of prompt and answer', async () => {
    await using home = await keysAtHome()
    const { ask, spent } = await serviceFor(home, { tokensPerDay: 100 })
    expect(await ask()).toEqual(['route', 'text', 'text', 'text', 'done'])
    expect(spent()).toBe(9)
  })

  it('are spent by an answer that its client leaves', async () => {
    await using home = await keysAtHome()
    const { service, spent, swarm } = await serviceFor(home, {})
    for await (const { event } of service.generate({ model: 'ember', prompt: '', sampling: {} })) {
      if (event === 'text') break
    }
    expect([spent(), swarm.ended]).toEqual([6, 1])
  })

  it('end an answer that would take more, before its prompt if that alone does', async () => {
    await using home = await keysAtHome()
    const { ask, spent, swarm } = await serviceFor(home, { tokensPerDay: 16 })
    await ask()
    await expect(ask()).rejects.toThrow(code('TOKENS_EXHAUSTED'))
    expect(spent()).toBe(17) // the last one was computed, and told to nobody
    await expect(ask()).rejects.toMatchObject({ details: { tokensPerDay: 16, retryAfterSeconds: 12 * 3_600 } })
    expect([swarm.asked.length, swarm.ended]).toEqual([2, 2])
    home.clock.now += 12 * 3_600_000
    await ask()
    const small = await serviceFor(home, { name: 'small', tokensPerDay: 4 })
    await expect(small.ask()).rejects.toThrow(code('TOKENS_EXHAUSTED'))
    expect([small.spent(), small.swarm.ended]).toEqual([0, 1])
  })

  it('are those of all its answers together, and of no other key', async () => {
    await using home = await keysAtHome()
    const { ask } = await serviceFor(home, { tokensPerDay: 20 })
    const other = await serviceFor(home, { name: 'other', tokensPerDay: 20 })
    const answers = await Promise.allSettled([ask(), ask(), ask(), other.ask()])
    expect(answers.filter(({ status }) => status === 'rejected').length).toBeGreaterThan(0)
    expect(answers.at(-1)?.status).toBe('fulfilled')
  })
})

describe('embeddings for a key', () => {
  it('are made by its models alone, and cost the tokens of the texts', async () => {
    await using home = await keysAtHome()
    const { service, swarm, spent } = await serviceFor(home, { models: ['ember'], tokensPerDay: 7 })
    const embed = async (model: string, texts: number): Promise<string[]> => {
      const events: string[] = []
      for await (const { event } of service.embed({ model, input: Array<string>(texts).fill('x') })) events.push(event)
      return events
    }
    expect(await embed('ember', 3)).toEqual(['route', 'vectors'])
    expect([spent(), swarm.asked[0]?.model]).toEqual([6, 'a'.repeat(64)])
    await expect(embed('other', 1)).rejects.toThrow(code('MODEL_NOT_ALLOWED'))
    await expect(embed('ember', 1)).rejects.toThrow(code('TOKENS_EXHAUSTED'))
    expect([spent(), swarm.asked.length, swarm.ended]).toEqual([6, 2, 2])
  })
})

describe('an answer whose key is revoked', () => {
  it('ends with the reason, not with what the origin makes of it', async () => {
    await using home = await keysAtHome()
    const { service, swarm, key } = await serviceFor(home, {})
    const events = service.generate({ model: 'ember', prompt: '', sampling: {} })
    await events.next()
    await home.folder.remove(key.name)
    await vi.waitFor(() => expect(swarm.ended).toBe(1), { timeout: 10 * LOOK_MS }) // though nobody reads on
    await expect(events.next()).rejects.toThrow(code('INVALID_KEY'))
  })
})
