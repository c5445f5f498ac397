import { expect, it } from 'vitest'
import { toolFormatOf } from '../../../node/engine/tool-formats.js'

it.each([
  [undefined, undefined],
  ['{{ messages }}', undefined],
  ['{% if tools %}<tool_call>{"name": ...}</tool_call>{% endif %}', 'hermes'],
  ['{% if tools %}<tool_call><function=...><parameter=...>{% endif %}', 'qwen3-coder'],
  ['{% if tools %}<tool_call><function=...>{% endif %}', undefined],
  ['{% if tools %}<tool_call>name<arg_key>{% endif %}', undefined],
  ['{% if tools %}ipython {"name": ..., "parameters": ...}{% endif %}', 'llama3'],
  ['{% if tools %}[TOOL_CALLS][{{ call }}]{% endif %}', 'mistral'],
  ["{% if tools %}{{ '[TOOL_CALLS]' + name + '[ARGS]' + arguments }}{% endif %}", 'mistral-args'],
  ['[TOOL_CALLS]', undefined]
])('how %j asks for tools', (template, format) => {
  expect(toolFormatOf(template)).toBe(format)
})
