import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { EngineError } from '../../../node/engine/errors.js'
import {
  checkDimensions,
  checkTokens,
  embeddedTokens,
  MAX_EMBEDDED_TOKENS,
  MAX_VECTOR_NUMBERS,
  SESSION_POSITIONS,
  sessionsOf
} from '../../../node/pipeline/embedding-input.js'

const model = { name: 'Toy', context: 100, width: 64 }
const code = (value: string, details: object = {}): Error =>
  expect.objectContaining({ code: value, details: expect.objectContaining(details) as object }) as Error

describe('the tokens of an input', () => {
  const asked: unknown[] = []
  const tokenizer = {
    tokenize: (text: string, options: object) => {
      asked.push([text, options])
      return Promise.resolve(Uint32Array.of(5, 2))
    },
    bytesOf: (token: number) => {
      if (token > 9) throw new EngineError('UNKNOWN_TOKEN', 'no such token')
      return new Uint8Array(1)
    }
  }
  const { signal } = new AbortController()

  it('are those of its text, with what the model wants around it and without special tokens in it', async () => {
    expect(await embeddedTokens(tokenizer, '<s>', signal)).toEqual(Uint32Array.of(5, 2))
    expect(asked).toEqual([['<s>', { addSpecial: true, special: false, signal }]])
  })

  it('are its token ids as they are, if the vocabulary has them', async () => {
    expect(await embeddedTokens(tokenizer, [9, 0], signal)).toEqual(Uint32Array.of(9, 0))
    await expect(embeddedTokens(tokenizer, [9, 10], signal)).rejects.toThrow(code('UNKNOWN_TOKEN'))
  })

  it('are at least one, at most the context, and with all before them a number', () => {
    const check = (length: number, total = length): void =>
      checkTokens({ number: 3, tokens: new Uint32Array(length), total }, model)
    check(1)
    check(100, MAX_EMBEDDED_TOKENS)
    expect(() => check(0)).toThrow(code('EMPTY_PROMPT', { param: 'input.3' }))
    expect(() => check(101)).toThrow(code('CONTEXT_EXCEEDED', { promptTokens: 101, context: 100 }))
    expect(() => check(1, MAX_EMBEDDED_TOKENS + 1)).toThrow(code('TOO_MUCH_INPUT'))
  })
})

describe('the dimensions of the vectors', () => {
  const input = (count: number): string[] => Array<string>(count).fill('x')

  it('are all unless fewer are wanted, and never more', () => {
    expect(checkDimensions({ input: ['x'] }, model)).toBe(64)
    expect(checkDimensions({ input: ['x'], dimensions: 1 }, model)).toBe(1)
    const more = { input: ['x'], dimensions: 65 }
    expect(() => checkDimensions(more, model)).toThrow(code('TOO_MANY_DIMENSIONS', { param: 'dimensions', width: 64 }))
  })

  it('bound how many texts there may be', () => {
    const most = MAX_VECTOR_NUMBERS / 64
    expect(checkDimensions({ input: input(most) }, model)).toBe(64)
    expect(() => checkDimensions({ input: input(most + 1) }, model)).toThrow(code('TOO_MUCH_INPUT'))
    expect(checkDimensions({ input: input(most + 1), dimensions: 32 }, model)).toBe(32)
  })
})

describe('sessions', () => {
  it('have every text once, in order, as many together as fit', () => {
    const text = fc.nat({ max: 2 * SESSION_POSITIONS }).map(length => new Uint32Array(length + 1))
    fc.assert(
      fc.property(fc.array(text, { maxLength: 20 }), texts => {
        const sessions = sessionsOf(texts)
        const all = sessions.flat()
        expect(all.length === texts.length && all.every((text, i) => text === texts[i])).toBe(true)
        const sizes = sessions.map(session => session.reduce((sum, { length }) => sum + length, 0))
        for (const [i, session] of sessions.entries()) {
          const size = sizes[i] ?? 0
          expect(session.length === 1 || size <= SESSION_POSITIONS).toBe(true)
          const next = sessions[i + 1]?.[0]
          if (next !== undefined) expect(size + next.length).toBeGreaterThan(SESSION_POSITIONS)
        }
      }),
      { numRuns: 50 }
    )
  })
})
