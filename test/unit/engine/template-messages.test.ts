import { describe, expect, it } from 'vitest'
import { templateMessage, toolFormatOf } from '../../../node/engine/template-messages.js'

describe('messages for a chat template', () => {
  it('have the arguments of calls as a value, and what is no JSON as it is', () => {
    const call = { id: 'c1', name: 'weather', arguments: '{"city":"Ulm"}' }
    const broken = { id: 'c2', name: 'weather', arguments: '{"city"' }
    expect(templateMessage({ role: 'assistant', content: '', toolCalls: [call, broken] })).toEqual({
      ...{ role: 'assistant', content: '' },
      tool_calls: [
        { id: 'c1', type: 'function', function: { name: 'weather', arguments: { city: 'Ulm' } } },
        { id: 'c2', type: 'function', function: { name: 'weather', arguments: '{"city"' } }
      ]
    })
    expect(templateMessage({ role: 'tool', content: 'warm', toolCall: 'c1' })).toEqual({
      ...{ role: 'tool', content: 'warm', tool_call_id: 'c1' }
    })
    expect(templateMessage({ role: 'assistant', content: 'hi' })).toEqual({ role: 'assistant', content: 'hi' })
  })

  it.each([
    [undefined, undefined],
    ['{{ messages }}', undefined],
    ['{% if tools %}<tool_call>{"name": ...}</tool_call>{% endif %}', 'hermes'],
    ['{% if tools %}<tool_call><function=...>{% endif %}', undefined],
    ['{% if tools %}ipython {"name": ..., "parameters": ...}{% endif %}', 'llama3'],
    ['{% if tools %}[TOOL_CALLS]{% endif %}', undefined]
  ])('tell how %j asks for tools', (template, format) => {
    expect(toolFormatOf(template)).toBe(format)
  })
})
