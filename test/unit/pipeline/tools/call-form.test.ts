import { describe, expect, it } from 'vitest'
import { callForm } from '../../../../node/pipeline/tools/call-form.js'

const parameters = { type: 'object', properties: { city: { type: 'string' } } }
const odd = { type: 'object', properties: { n: { type: 'integer', minimum: 1 } } }
const anything = { type: 'object' }

describe('the form of a call that must be', () => {
  it.each([
    ['hermes', 'arguments', '<tool_call>\n', '\n</tool_call>'],
    ['mistral', 'arguments', '[TOOL_CALLS][', ']'],
    ['llama3', 'parameters', undefined, undefined]
  ] as const)('is JSON in %s', (format, key, ...around) => {
    const call = (name: string, given: object): object => ({
      ...{ type: 'object', properties: { name: { const: name }, [key]: given } }
    })
    const { oneOf } = callForm(
      [{ name: 'weather', parameters }, { name: 'now' }, { name: 'odd', parameters: odd }],
      format
    )
    const [before, after] = around
    // What is not supported is a hint, as it is where nothing is constrained.
    const schema = { oneOf: [call('weather', parameters), call('now', anything), call('odd', anything)] }
    expect(oneOf).toEqual([before === undefined ? [{ schema }] : [before, { schema }, after]])
  })

  it('has the name before the arguments in those of Mistral that have it so', () => {
    expect(callForm([{ name: 'weather', parameters }, { name: 'now' }], 'mistral-args')).toEqual({
      oneOf: [
        ['[TOOL_CALLS]weather[ARGS]', { schema: parameters }],
        ['[TOOL_CALLS]now[ARGS]', { schema: anything }]
      ]
    })
  })

  it("has a tag for each argument in Qwen3-Coder's", () => {
    const all = {
      properties: {
        city: { type: 'string', description: 'which' },
        unit: { enum: ['C', 'F'] },
        days: { type: 'integer' },
        odd: { type: 'integer', minimum: 1 },
        any: {}
      },
      required: ['days', 'city']
    }
    const end = '\n</parameter>\n'
    expect(callForm([{ name: 'weather', parameters: all }, { name: 'now' }], 'qwen3-coder')).toEqual({
      oneOf: [
        [
          '<tool_call>\n<function=weather>\n',
          ...['<parameter=city>\n', { until: end }],
          { optional: ['<parameter=unit>\n', { words: ['C', 'F'] }, end] },
          ...['<parameter=days>\n', { schema: { type: 'integer' } }, end],
          { optional: ['<parameter=odd>\n', { until: end }] },
          { optional: ['<parameter=any>\n', { until: end }] },
          '</function>\n</tool_call>'
        ],
        ['<tool_call>\n<function=now>\n', '</function>\n</tool_call>']
      ]
    })
    const unwritable = { properties: { 'a>b': { type: 'string' } } }
    expect(() => callForm([{ name: 'x', parameters: unwritable }], 'qwen3-coder')).toThrow(
      expect.objectContaining({ code: 'BAD_SCHEMA', message: expect.stringContaining('"a>b"') as string })
    )
  })
})
