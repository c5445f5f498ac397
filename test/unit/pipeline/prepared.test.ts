import { describe, expect, it, onTestFinished } from 'vitest'
import type { GenerateRequest } from '../../../node/control/contract.js'
import type { Constraint, TextForm, Tokenizer, ToolFormat } from '../../../node/engine/types.js'
import { prepare, type Prepared } from '../../../node/pipeline/prepared.js'
import { TokenizerCache } from '../../../node/pipeline/tokenizer-cache.js'

const MARK = 7
const TEXT = new TextDecoder()

/** Knows one control token, which marks calls, and what it was asked for. */
class MarkingTokenizer implements Tokenizer {
  readonly vocabulary = 8
  readonly hasChatTemplate = true
  readonly toolMarks = new Map([[MARK, '[TOOL_CALLS]']])
  readonly isLost = false
  readonly forms: TextForm[] = []

  constructor(readonly toolFormat: ToolFormat | undefined) {}

  tokenize(): Promise<Uint32Array> {
    return Promise.resolve(Uint32Array.of(1))
  }

  bytesOf(token: number): Uint8Array {
    return token === MARK ? new Uint8Array() : Uint8Array.of(48 + token)
  }

  isEndOfGeneration(token: number): boolean {
    return token === 0
  }

  renderChat(): Promise<string> {
    return Promise.resolve('prompt')
  }

  constrain(form: TextForm): Promise<Constraint> {
    this.forms.push(form)
    return Promise.resolve({ allowed: () => Promise.resolve(new Uint32Array()), close: () => undefined })
  }

  close(): Promise<void> {
    return Promise.resolve()
  }
}

const tools = [{ name: 'weather' }, { name: 'news' }]

async function prepared(tokenizer: Tokenizer, asked: Partial<GenerateRequest>): Promise<Prepared> {
  const cache = new TokenizerCache({ openTokenizer: () => Promise.resolve(tokenizer) })
  const request = { model: 'toy', prompt: 'hi', sampling: {}, ...asked }
  const result = await prepare(cache, { headerFile: 'header', request }, new AbortController().signal)
  onTestFinished(async () => {
    result[Symbol.dispose]()
    await cache.stop()
  })
  return result
}

describe('an answer that may ask for tools', () => {
  it('has the marks of calls in its text, although these tokens have none', async () => {
    const { speech, calls, tokenizer } = await prepared(new MarkingTokenizer('mistral'), { tools })
    expect([MARK, 3].map(token => TEXT.decode(speech.bytesOf(token)))).toEqual(['[TOOL_CALLS]', '3'])
    expect([speech.isEndOfGeneration(0), speech.isEndOfGeneration(MARK)]).toEqual([true, false])
    expect(tokenizer.bytesOf(MARK)).toHaveLength(0)
    const piece = calls?.push(`${TEXT.decode(speech.bytesOf(MARK))}[{"name": "news"}]`)
    expect(piece?.calls).toEqual([{ name: 'news', arguments: '{}' }])
  })

  it.each<Partial<GenerateRequest>>([{}, { tools, toolChoice: 'none' }])('and none else: %j', async asked => {
    const { speech, calls } = await prepared(new MarkingTokenizer('mistral'), asked)
    expect([speech.bytesOf(MARK).length, calls]).toEqual([0, undefined])
  })

  it('has the form of a call only where it must', async () => {
    const tokenizer = new MarkingTokenizer('mistral-args')
    expect((await prepared(tokenizer, { tools })).constraint).toBeUndefined()
    expect((await prepared(tokenizer, { tools, toolChoice: 'required' })).constraint).toBeDefined()
    await prepared(tokenizer, { tools, toolChoice: { name: 'news' } })
    await prepared(tokenizer, { format: { schema: { type: 'null' } } })
    const call = (name: string) => [`[TOOL_CALLS]${name}[ARGS]`, { schema: { type: 'object' } }]
    expect(tokenizer.forms).toEqual([
      ...[{ oneOf: [call('weather'), call('news')] }, { oneOf: [call('news')] }],
      { oneOf: [[{ schema: { type: 'null' } }]] }
    ])
  })

  it('is refused where the template does not know how', async () => {
    await expect(prepared(new MarkingTokenizer(undefined), { tools })).rejects.toMatchObject({ code: 'NO_TOOLS' })
  })
})
