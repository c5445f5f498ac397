import { describe, expect, it } from 'vitest'
import { templateMessage } from '../../../node/engine/template-messages.js'
import type { ChatMessage, ToolFormat } from '../../../node/engine/types.js'

const call = { id: 'call_1', name: 'weather', arguments: '{"city":"Ulm","days":null}' }
const broken = { id: 'c2', name: 'weather', arguments: '{"city"' }
const asking: ChatMessage = { role: 'assistant', content: '', toolCalls: [call, broken] }

interface Rendered {
  content: string
  tool_call_id: string
  tool_calls: { id: string; function: { arguments: unknown } }[]
}

const rendered = (message: ChatMessage, format?: ToolFormat): Rendered => templateMessage(message, format) as Rendered

describe('messages for a chat template', () => {
  it('have the arguments of calls as a value, and what is no JSON as it is', () => {
    expect(templateMessage(asking)).toEqual({
      ...{ role: 'assistant', content: '' },
      tool_calls: [
        { id: 'call_1', type: 'function', function: { name: 'weather', arguments: { city: 'Ulm', days: null } } },
        { id: 'c2', type: 'function', function: { name: 'weather', arguments: '{"city"' } }
      ]
    })
    expect(templateMessage({ role: 'tool', content: 'warm', toolCall: 'c1' })).toEqual({
      ...{ role: 'tool', content: 'warm', tool_call_id: 'c1' }
    })
    expect(templateMessage({ role: 'assistant', content: 'hi' })).toEqual({ role: 'assistant', content: 'hi' })
  })

  it.each<ToolFormat>(['mistral', 'mistral-args'])('have ids of nine letters and digits in %s', format => {
    const ids = rendered(asking, format).tool_calls.map(({ id }) => id)
    expect(new Set(ids).size).toBe(2)
    for (const id of ids) expect(id).toMatch(/^[a-zA-Z0-9]{9}$/)
    const answered = (toolCall: string): string =>
      rendered({ role: 'tool', content: '', toolCall }, format).tool_call_id
    expect(answered('call_1')).toBe(ids[0])
    expect(answered('aB3dE6gH9')).toBe('aB3dE6gH9')
  })

  it("have results as JSON where Mistral's templates put them into an object", () => {
    const of = (content: string, format: ToolFormat): string =>
      rendered({ role: 'tool', content, toolCall: 'c1' }, format).content
    expect([of('warm', 'mistral'), of('{"a": 1}', 'mistral')]).toEqual(['"warm"', '{"a": 1}'])
    expect([of('warm', 'mistral-args'), of('warm', 'hermes')]).toEqual(['warm', 'warm'])
  })

  it('have arguments that each have a text where each has a tag', () => {
    const given = rendered(asking, 'qwen3-coder').tool_calls.map(({ function: called }) => called.arguments)
    expect(given).toEqual([{ city: 'Ulm', days: 'null' }, {}])
  })
})
