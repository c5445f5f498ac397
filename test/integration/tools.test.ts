import OpenAI from 'openai'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type Mesh, startMesh } from '../support/mesh.js'
import { temporaryFolder } from '../support/temporary.js'
import { writeTinyModel } from '../support/tiny-model.js'

const CONTEXT = 4096
const MESSAGES: OpenAI.ChatCompletionMessageParam[] = [{ role: 'user', content: 'the' }]
/** Mistral's take no other ids. */
const STRICT = (id: string): string =>
  `{% if ${id}|length != 9 %}{{ raise_exception('ids have nine letters') }}{% endif %}`
const SHOWN = '{% for tool in tools %}{{ tool.function.name }} {% endfor %}{% for m in messages %}{{ m.content }}'
const CALLS = '{% for c in m.tool_calls or [] %}'
const RESULT = `{% if m.role == 'tool' %}${STRICT('m.tool_call_id')}{% endif %}`
/** As chat templates have it. */
const TEMPLATES = {
  mistral: `${SHOWN}${CALLS}${STRICT('c.id')}[TOOL_CALLS][{{ c.function|tojson }}]{% endfor %}${RESULT}{% endfor %}`,
  'mistral-args': `${SHOWN}${CALLS}${STRICT('c.id')}[TOOL_CALLS]{{ c.function.name }}[ARGS]{{ c.function.arguments|tojson }}{% endfor %}${RESULT}{% endfor %}`,
  'qwen3-coder': `${SHOWN}${CALLS}<tool_call><function={{ c.function.name }}>{% for key, value in c.function.arguments|items %}<parameter={{ key }}>{{ value|string }}</parameter>{% endfor %}</function></tool_call>{% endfor %}{% endfor %}`
}

const opened: AsyncDisposable[] = []
let openai: OpenAI

beforeAll(async () => {
  const folder = await temporaryFolder()
  opened.push({ [Symbol.asyncDispose]: () => folder.remove() })
  const controls = ['[TOOL_CALLS]', '[ARGS]']
  const models = []
  for (const [name, chatTemplate] of Object.entries(TEMPLATES)) {
    const options = { architecture: 'qwen3', context: CONTEXT, layers: 2, controls, chatTemplate } as const
    models.push({ file: (await writeTinyModel(folder.file(`${name}.gguf`), options)).file, name })
  }
  const mesh: Mesh = await startMesh({
    nodes: [{ layers: '0-2', args: ['--gateway', '127.0.0.1:0'] }],
    ...{ models, context: CONTEXT }
  })
  opened.push(mesh)
  const { gateway } = await mesh.node(0).service.status()
  openai = new OpenAI({ baseURL: `${gateway ?? ''}/v1`, apiKey: 'none', maxRetries: 0 })
})

afterAll(async () => {
  for (const one of opened.reverse()) await one[Symbol.asyncDispose]()
})

it.each(Object.keys(TEMPLATES))(
  "OpenAI's client has calls in the form of %s, and goes on with the result",
  async model => {
    const parameters = {
      type: 'object',
      properties: { city: { enum: ['Ulm', 'Bonn'] }, warm: { type: 'boolean' } },
      required: ['city', 'warm']
    }
    const tools: OpenAI.ChatCompletionTool[] = ['weather', 'news'].map(name => ({
      ...{ type: 'function', function: { name, parameters } }
    }))
    const body = { model, messages: MESSAGES, temperature: 1, max_completion_tokens: 300, tools }
    const { choices } = await openai.chat.completions.create({ ...body, tool_choice: 'required' })
    expect(choices[0]).toMatchObject({ finish_reason: 'tool_calls', message: { content: null } })
    const [call] = choices[0]?.message.tool_calls ?? []
    if (call?.type !== 'function') throw new Error('no call of a function')
    expect(['weather', 'news']).toContain(call.function.name)
    expect(JSON.parse(call.function.arguments)).toEqual({
      ...{ city: expect.stringMatching(/^(Ulm|Bonn)$/) as string, warm: expect.any(Boolean) as boolean }
    })
    // The very message that came, as agents send it back.
    const answered: OpenAI.ChatCompletionMessageParam[] = [
      ...MESSAGES,
      choices[0]?.message ?? { role: 'assistant', content: '' },
      { role: 'tool', tool_call_id: call.id, content: 'warm' }
    ]
    const next = await openai.chat.completions.create({
      ...body,
      temperature: 0,
      max_completion_tokens: 8,
      messages: answered
    })
    expect(next.usage?.prompt_tokens).toBeGreaterThan(20)
    const named = { ...body, tool_choice: { type: 'function', function: { name: 'news' } }, stream: true } as const
    const deltas: OpenAI.ChatCompletionChunk.Choice.Delta.ToolCall[] = []
    for await (const chunk of await openai.chat.completions.create(named)) {
      deltas.push(...(chunk.choices[0]?.delta.tool_calls ?? []))
    }
    expect(deltas).toMatchObject([{ index: 0, type: 'function', function: { name: 'news' } }])
  }
)
