import { writeFile } from 'node:fs/promises'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { openTokenizer } from '../../../node/engine/tokenizer.js'
import type { Tokenizer } from '../../../node/engine/types.js'
import { readGguf } from '../../../node/models/gguf.js'
import { ggufBytes } from '../../support/gguf-writer.js'
import { type TemporaryFolder, temporaryFolder } from '../../support/temporary.js'
import { type Header, writeSmallHeader } from './small-header.js'
import { EMBER_VOCABULARY, ember, rejectionOf, silentLogger, TOKENIZER_CHILD } from './support.js'

const PARTS = { childModule: TOKENIZER_CHILD, logger: silentLogger }
const PLAIN = { addSpecial: false, special: false }
const SPECIAL = { addSpecial: false, special: true }

let folder: TemporaryFolder
let tokenizer: Tokenizer

beforeAll(async () => {
  folder = await temporaryFolder()
  tokenizer = await openTokenizer(PARTS, { headerFile: ember.file })
})

afterAll(async () => {
  await tokenizer.close()
  await folder.remove()
})

async function headerWith(name: string, template?: string, change?: Header): Promise<string> {
  return writeSmallHeader(folder.file(`${name}.gguf`), template, change)
}

async function opened(file: string, settings: { renderLimit?: number } = {}): Promise<Tokenizer> {
  const result = await openTokenizer(PARTS, { headerFile: file, ...settings })
  onTestFinished(() => result.close())
  return result
}

function textOf(tokens: Uint32Array): string {
  return Buffer.concat([...tokens].map(token => tokenizer.bytesOf(token))).toString()
}

test('text comes back from its tokens, whatever characters it has', async () => {
  expect(tokenizer.vocabulary).toBe(EMBER_VOCABULARY)
  for (const text of ['What is Flambeau?', '  two  spaces\n\n', 'naïve 日本 🔥 \u0000 end', '<|im_end|>', '']) {
    expect(textOf(await tokenizer.tokenize(text, PLAIN))).toBe(text)
  }
})

test('the names of special tokens are those tokens only where that is asked for', async () => {
  const [end, ...rest] = await tokenizer.tokenize('<|im_end|>', SPECIAL)
  expect(rest).toEqual([])
  expect(tokenizer.isEndOfGeneration(end ?? -1)).toBe(true)
  expect(tokenizer.bytesOf(end ?? -1)).toHaveLength(0)
  const plain = await tokenizer.tokenize('<|im_end|>', PLAIN)
  expect(plain.length).toBeGreaterThan(1)
  expect([...plain].some(token => tokenizer.isEndOfGeneration(token))).toBe(false)
})

test('a chat is rendered up to where the answer begins', async () => {
  expect(tokenizer.hasChatTemplate).toBe(true)
  const prompt = await tokenizer.renderChat([
    { role: 'user', content: 'Hello' },
    { role: 'assistant', content: 'Hi!' },
    { role: 'user', content: 'Bye' }
  ])
  expect(prompt).toBe(
    '<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\nHi!<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n'
  )
})

test('a token outside the vocabulary has no bytes', () => {
  for (const token of [-1, EMBER_VOCABULARY, 0.5, NaN]) {
    expect(() => tokenizer.bytesOf(token)).toThrow(expect.objectContaining({ code: 'UNKNOWN_TOKEN' }))
  }
})

test('more text than the limit is refused before it is sent', async () => {
  expect(await rejectionOf(tokenizer.tokenize('a'.repeat(4 * 1024 * 1024 + 1), PLAIN))).toBe('TEXT_TOO_LONG')
})

test('a header without tensors is enough', async () => {
  const file = await headerWith('plain')
  expect((await readGguf(file)).tensors).toEqual([])
  const small = await opened(file)
  expect(small.vocabulary).toBe(28)
  expect([...(await small.tokenize('abc', PLAIN))]).toEqual([27, 3])
  expect(small.isEndOfGeneration(0)).toBe(true)
  expect(small.hasChatTemplate).toBe(false)
  expect(await rejectionOf(small.renderChat([{ role: 'user', content: 'a' }]))).toBe('NO_TEMPLATE')
})

test('a template gets the texts of the special tokens, and its refusal is an error that says why', async () => {
  const source = `{% if messages[0].role == 'system' %}{{ raise_exception('no system messages') }}{% endif %}{{ bos_token }}[{{ messages[0].content }}]{{ eos_token }}`
  const strict = await opened(await headerWith('strict', source))
  expect(await strict.renderChat([{ role: 'user', content: 'hi' }])).toContain('[hi]<|end|>')
  await expect(strict.renderChat([{ role: 'system', content: 'hi' }])).rejects.toThrow(
    expect.objectContaining({ code: 'BAD_TEMPLATE', message: expect.stringContaining('no system messages') as string })
  )
  const broken = await opened(await headerWith('broken', '{% for %}'))
  expect(await rejectionOf(broken.renderChat([{ role: 'user', content: 'a' }]))).toBe('BAD_TEMPLATE')
})

test('a template that never ends costs its process only', async () => {
  const nested = '{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}'
  const endless = await opened(await headerWith('endless', nested), { renderLimit: 300 })
  expect(await rejectionOf(endless.renderChat([{ role: 'user', content: 'a' }]))).toBe('TEMPLATE_TIMEOUT')
  expect(await rejectionOf(endless.tokenize('abc', PLAIN))).toBe('TOKENIZER_LOST')
})

test('a template cannot take all memory', async () => {
  const greedy =
    "{% set ns = namespace(x='aaaaaaaaaaaaaaaa') %}{% for i in range(40) %}{% set ns.x = ns.x + ns.x %}{% endfor %}{{ ns.x }}"
  const hungry = await opened(await headerWith('greedy', greedy), { renderLimit: 20_000 })
  const code = await rejectionOf(hungry.renderChat([{ role: 'user', content: 'a' }]))
  expect(['BAD_TEMPLATE', 'TOKENIZER_LOST']).toContain(code)
})

test('a vocabulary that makes llama.cpp abort costs its process only', async () => {
  const twins = { type: 'strings', value: new Array<string>(28).fill('a') } as const
  const file = await headerWith('twins', undefined, new Map([['tokenizer.ggml.tokens', twins]]))
  await expect(openTokenizer(PARTS, { headerFile: file })).rejects.toThrow(
    expect.objectContaining({ code: 'TOKENIZER_LOST', message: expect.stringContaining('SIGABRT') as string })
  )
  expect(textOf(await tokenizer.tokenize('still here', PLAIN))).toBe('still here')
})

test('text that the vocabulary has no tokens for is refused', async () => {
  const model = { type: 'string', value: 'rwkv' } as const
  const poor = await opened(await headerWith('poor', undefined, new Map([['tokenizer.ggml.model', model]])))
  expect(await rejectionOf(poor.tokenize('abc ABC', PLAIN))).toBe('UNKNOWN_TOKEN')
})

test('a model that takes token ids only has no tokenizer', async () => {
  const file = folder.file('none.gguf')
  const metadata: Header = new Map([
    ['general.architecture', { type: 'string', value: 'llama' }],
    ['llama.block_count', { type: 'u32', value: 1 }],
    ['llama.context_length', { type: 'u32', value: 64 }],
    ['llama.embedding_length', { type: 'u32', value: 64 }],
    ['llama.feed_forward_length', { type: 'u32', value: 64 }],
    ['llama.attention.head_count', { type: 'u32', value: 1 }],
    ['llama.attention.layer_norm_rms_epsilon', { type: 'f32', value: 1e-5 }],
    ['llama.vocab_size', { type: 'u32', value: 32 }],
    ['tokenizer.ggml.model', { type: 'string', value: 'no_vocab' }]
  ])
  await writeFile(file, ggufBytes(metadata, []))
  expect(await rejectionOf(openTokenizer(PARTS, { headerFile: file }))).toBe('NO_VOCABULARY')
})

test('a file that is no model, or is not there, is an error', async () => {
  expect(await rejectionOf(openTokenizer(PARTS, { headerFile: import.meta.filename }))).toBe('LOAD_FAILED')
  expect(await rejectionOf(openTokenizer(PARTS, { headerFile: folder.file('missing.gguf') }))).toBe('LOAD_FAILED')
})

/** A text that fits the schema, of tokens that `choose` takes among those that may come next; ends at its end. */
async function written(schema: unknown, choose: (allowed: Uint32Array) => number): Promise<string> {
  const constraint = await tokenizer.constrain({ oneOf: [[{ schema }]] })
  const tokens: number[] = []
  try {
    for (;;) {
      const allowed = await constraint.allowed({ accepted: tokens.at(-1) })
      expect(allowed.length).toBeGreaterThan(0)
      const token = choose(allowed)
      if (tokenizer.isEndOfGeneration(token)) return textOf(Uint32Array.from(tokens))
      tokens.push(token)
    }
  } finally {
    constraint.close()
  }
}

test('lets an answer say only what fits its schema', async () => {
  const schema = {
    type: 'object',
    properties: {
      is: { type: 'boolean' },
      of: { type: 'array', items: { enum: ['a', 'b'] }, minItems: 2, maxItems: 3 }
    }
  }
  for (const seed of [1, 2, 3, 4, 5]) {
    let state = seed
    const choose = (allowed: Uint32Array): number => {
      state = (state * 48_271) % 2_147_483_647
      return allowed[state % allowed.length] ?? 0
    }
    const value = JSON.parse(await written(schema, choose)) as { is: unknown; of: unknown[] }
    expect(value).toEqual({ is: expect.any(Boolean) as boolean, of: expect.any(Array) as unknown[] })
    expect([2, 3]).toContain(value.of.length)
    expect(value.of.every(one => one === 'a' || one === 'b')).toBe(true)
  }
})

test('says which of a few candidates fit', async () => {
  const constraint = await tokenizer.constrain({ oneOf: [[{ schema: { const: 'ab' } }]] })
  const [quote = 0] = await tokenizer.tokenize('"', PLAIN)
  const [letter = 0] = await tokenizer.tokenize('z', PLAIN)
  expect([...(await constraint.allowed({ candidates: Uint32Array.of(letter, quote) }))]).toEqual([quote])
  expect([...(await constraint.allowed({ accepted: quote, candidates: Uint32Array.of(letter, quote) }))]).toEqual([])
  constraint.close()
  expect(await rejectionOf(constraint.allowed({}))).toBe('RELEASED')
})

test('refuses schemas that no grammar can be made of', async () => {
  const refusal = (schema: unknown): Promise<string | undefined> =>
    rejectionOf(tokenizer.constrain({ oneOf: [[{ schema }]] }))
  expect(await refusal({ type: 'string', pattern: 'a' })).toBe('BAD_SCHEMA')
  expect(await refusal({ $ref: '#/$defs/nowhere' })).toBe('BAD_SCHEMA')
})
