import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { openTokenizer } from '../../../node/engine/tokenizer.js'
import type { ChatMessage, TextForm, Tokenizer, Tool } from '../../../node/engine/types.js'
import { callForm } from '../../../node/pipeline/tools/call-form.js'
import { CallStream } from '../../../node/pipeline/tools/call-stream.js'
import { type TemporaryFolder, temporaryFolder } from '../../support/temporary.js'
import { byteTokenizer } from '../../support/tiny-model.js'
import { writeSmallHeader } from './small-header.js'
import { silentLogger, TOKENIZER_CHILD } from './support.js'

const VOCABULARY = 320
/** The last tokens of the vocabulary; the byte 0 is the third. */
const MARKS = ['[TOOL_CALLS]', '[ARGS]', '[INST]']
const FIRST_BYTE = 3

/** Hermes, and Mistral as strict with ids as its own. */
const HERMES =
  '{% for tool in tools %}{{ tool.function.name }} {% endfor %}' +
  '{% for m in messages %}{{ m.role }} {{ m.content }}{% if m.tool_calls %}{% for c in m.tool_calls %}<tool_call>{{ c.function.arguments.city }}{% endfor %}{% endif %}.{% endfor %}'
const STRICT = (id: string): string =>
  `{% if ${id} is not defined or ${id}|length != 9 %}{{ raise_exception('ids have nine letters') }}{% endif %}`
const MISTRAL =
  '{% for tool in tools %}{{ tool|tojson }}{% endfor %}{% for m in messages %}' +
  '{% if m.tool_calls is defined and m.tool_calls is not none %}[TOOL_CALLS][' +
  `{% for c in m.tool_calls %}${STRICT('c.id')}{% set out = c.function|tojson %}{{ out[:-1] }}, "id": "{{ c.id }}"}{% endfor %}]` +
  `{% elif m.role == 'tool' %}${STRICT('m.tool_call_id')}[TOOL_RESULTS]{"content": {{ m.content|string }}, "call_id": "{{ m.tool_call_id }}"}` +
  '{% else %}[INST]{{ m.content }}{% endif %}{% endfor %}'
const QWEN =
  '{% for tool in tools %}<function>{{ tool.function.name }}{% endfor %}{% for m in messages %}' +
  '{% for c in m.tool_calls or [] %}<tool_call><function={{ c.function.name }}>' +
  '{% for key, value in c.function.arguments|items %}<parameter={{ key }}>{{ value|string }}</parameter>{% endfor %}' +
  '</function></tool_call>{% endfor %}{{ m.content }}{% endfor %}'

const parameters = {
  type: 'object',
  properties: { city: { enum: ['Ulm', 'Bonn'] }, warm: { type: 'boolean' } },
  required: ['city', 'warm']
}
const TOOLS: Tool[] = [
  { name: 'weather', parameters },
  { name: 'news', parameters }
]

let folder: TemporaryFolder
beforeAll(async () => {
  folder = await temporaryFolder()
})
afterAll(() => folder.remove())

let headers = 0

async function opened(template: string): Promise<Tokenizer> {
  const headerFile = folder.file(`${headers++}.gguf`)
  await writeSmallHeader(headerFile, template, new Map(byteTokenizer(VOCABULARY, MARKS)))
  const tokenizer = await openTokenizer({ childModule: TOKENIZER_CHILD, logger: silentLogger }, { headerFile })
  onTestFinished(() => tokenizer.close())
  return tokenizer
}

const markOf = (name: string): number => VOCABULARY - MARKS.length + MARKS.indexOf(name)

/** With the marks of calls. */
function textOf(tokenizer: Tokenizer, tokens: readonly number[]): string {
  const pieces = tokens.map(token => Buffer.from(tokenizer.toolMarks.get(token) ?? tokenizer.bytesOf(token)))
  return Buffer.concat(pieces).toString()
}

/** A text of this form, drawn from a seed. */
async function written(tokenizer: Tokenizer, form: TextForm, seed: number): Promise<number[]> {
  const constraint = await tokenizer.constrain(form)
  const tokens: number[] = []
  let state = seed
  try {
    for (;;) {
      const allowed = await constraint.allowed({ accepted: tokens.at(-1) })
      expect(allowed.length).toBeGreaterThan(0)
      state = (state * 48_271) % 2_147_483_647
      const token = allowed[state % allowed.length] ?? 0
      if (tokenizer.isEndOfGeneration(token)) return tokens
      tokens.push(token)
    }
  } finally {
    constraint.close()
  }
}

/** Whether an answer may be this text, byte by byte. */
async function accepts(tokenizer: Tokenizer, form: TextForm, text: string): Promise<boolean> {
  const constraint = await tokenizer.constrain(form)
  try {
    let accepted: number | undefined
    for (const byte of Buffer.from(text)) {
      const next = FIRST_BYTE + byte
      const allowed = await constraint.allowed({ accepted, candidates: Uint32Array.of(next) })
      if (allowed.length === 0) return false
      accepted = next
    }
    const last = await constraint.allowed({ accepted })
    return last.some(token => tokenizer.isEndOfGeneration(token))
  } finally {
    constraint.close()
  }
}

describe('a chat template', () => {
  const messages: ChatMessage[] = [
    {
      ...{ role: 'assistant', content: 'a' },
      toolCalls: [{ id: 'call_abc', name: 'weather', arguments: '{"city":"ulm","days":null,"warm":true}' }]
    },
    { role: 'tool', content: 'b', toolCall: 'call_abc' }
  ]
  const tools = [{ name: 'weather' }]

  it('is shown tools and their calls, and says how it asks for them', async () => {
    const hermes = await opened(HERMES)
    expect(hermes.toolFormat).toBe('hermes')
    expect(await hermes.renderChat(messages, { tools })).toBe('weather assistant a<tool_call>ulm.tool b.')
  })

  it('of Mistral gets ids that it takes', async () => {
    const mistral = await opened(MISTRAL)
    expect(mistral.toolFormat).toBe('mistral')
    const prompt = await mistral.renderChat(messages, { tools })
    const [, id, resultId] = /"id": "([^"]*)".*"call_id": "([^"]*)"/.exec(prompt) ?? []
    expect(id).toBe(resultId)
    expect(prompt).toContain(
      '[TOOL_CALLS][{"name": "weather", "arguments": {"city": "ulm", "days": null, "warm": true}, "id"'
    )
    expect(prompt).toContain('{"content": "b", "call_id"')
  })

  it('of Qwen3-Coder gets arguments that it can write', async () => {
    const qwen = await opened(QWEN)
    expect(qwen.toolFormat).toBe('qwen3-coder')
    expect(await qwen.renderChat(messages, { tools })).toBe(
      '<function>weather<tool_call><function=weather><parameter=city>ulm</parameter><parameter=days>null</parameter>' +
        '<parameter=warm>true</parameter></function></tool_call>ab'
    )
  })
})

describe('the marks of calls', () => {
  it('are known although these tokens have no text', async () => {
    const newer = await opened(MISTRAL.replace('[INST]', '[ARGS]'))
    const marks = new Map([
      [markOf('[TOOL_CALLS]'), '[TOOL_CALLS]'],
      [markOf('[ARGS]'), '[ARGS]']
    ])
    expect([newer.toolFormat, newer.toolMarks]).toEqual(['mistral-args', marks])
    for (const token of marks.keys()) expect(newer.bytesOf(token)).toHaveLength(0)
    expect((await opened(QWEN)).toolMarks.size).toBe(0)
  })
})

describe('a call that must be', () => {
  it.each([
    ['hermes', HERMES],
    ['mistral', MISTRAL],
    ['mistral-args', MISTRAL.replace('[INST]', '[ARGS]')],
    ['qwen3-coder', QWEN]
  ] as const)('is one of the tools with arguments that fit, in %s', async (format, template) => {
    const tokenizer = await opened(template)
    expect(tokenizer.toolFormat).toBe(format)
    for (const seed of [1, 2, 3, 4, 5]) {
      const tokens = await written(tokenizer, callForm(TOOLS, format), seed)
      const stream = new CallStream(format, TOOLS)
      const pieces = [...tokens.map(token => stream.push(textOf(tokenizer, [token]))), stream.end()]
      expect(pieces.map(({ text }) => text).join('')).toBe('')
      const [call, ...others] = pieces.flatMap(({ calls }) => calls)
      expect([others, ['weather', 'news'].includes(call?.name ?? '')]).toEqual([[], true])
      const { city, warm } = JSON.parse(call?.arguments ?? '') as { city: string; warm: unknown }
      expect([['Ulm', 'Bonn'].includes(city), typeof warm]).toEqual([true, 'boolean'])
    }
  })

  it('begins with the token that the model knows for it, and not with its letters', async () => {
    const tokenizer = await opened(MISTRAL)
    const mark = markOf('[TOOL_CALLS]')
    const bracket = FIRST_BYTE + '['.charCodeAt(0)
    const constraint = await tokenizer.constrain(callForm(TOOLS, 'mistral'))
    const allowed = async (question: Parameters<typeof constraint.allowed>[0]): Promise<number[]> =>
      Array.from(await constraint.allowed(question))
    expect(await allowed({})).toEqual([mark])
    expect(await allowed({ candidates: Uint32Array.of(bracket, mark) })).toEqual([mark])
    expect(await allowed({ candidates: Uint32Array.of(bracket) })).toEqual([])
    expect(await allowed({ accepted: mark, candidates: Uint32Array.of(mark, bracket) })).toEqual([bracket])
    constraint.close()
    const json = await tokenizer.constrain({ oneOf: [[{ schema: { const: 'a' } }]] })
    expect(Array.from(await json.allowed({}))).toEqual([FIRST_BYTE + '"'.charCodeAt(0)])
    json.close()
  })

  it("has texts without quotes in Qwen3-Coder's form, whatever is in them", async () => {
    const tokenizer = await opened(QWEN)
    const city = { type: 'string' }
    const days = { type: 'integer' }
    const tool = { name: 'weather', parameters: { properties: { city, days }, required: ['city'] } }
    const form = callForm([tool], 'qwen3-coder')
    const call = (inner: string): string => `<tool_call>\n<function=weather>\n${inner}</function>\n</tool_call>`
    const argument = (key: string, value: string): string => `<parameter=${key}>\n${value}\n</parameter>\n`
    for (const value of ['Ulm', '', 'a\n\nb', '<b>\n</b>', '\n</param', '\n\n</parameter', 'ü\n</parameter> x']) {
      expect([value, await accepts(tokenizer, form, call(argument('city', value)))]).toEqual([value, true])
    }
    const [ulm, three] = [argument('city', 'Ulm'), argument('days', '3')]
    expect(await accepts(tokenizer, form, call(ulm + three))).toBe(true)
    for (const inner of ['', three, three + ulm, ulm + argument('days', 'x'), ulm + argument('more', 'x'), `${ulm}x`]) {
      expect([inner, await accepts(tokenizer, form, call(inner))]).toEqual([inner, false])
    }
  })

  it('is refused where it would take more parts than a grammar has', async () => {
    const tokenizer = await opened(QWEN)
    const properties = Object.fromEntries(Array.from({ length: 3_000 }, (_, i) => [`p${i}`, { type: 'string' }]))
    const form = callForm([{ name: 'x', parameters: { properties } }], 'qwen3-coder')
    await expect(tokenizer.constrain(form)).rejects.toMatchObject({ code: 'BAD_SCHEMA' })
  })
})
