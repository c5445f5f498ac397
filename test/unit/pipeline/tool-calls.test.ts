import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { ToolFormat } from '../../../node/engine/types.js'
import { callForm, CallStream, type WrittenCall } from '../../../node/pipeline/tool-calls.js'

/** What comes of a text that arrives in these pieces. */
function read(pieces: readonly string[], format: ToolFormat = 'hermes'): { text: string; calls: WrittenCall[] } {
  const stream = new CallStream(format)
  const all = [...pieces.map(piece => stream.push(piece)), stream.end()]
  return { text: all.map(({ text }) => text).join(''), calls: all.flatMap(({ calls }) => calls) }
}

const weather = { name: 'weather', arguments: '{"city":"Ulm"}' }
const CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Ulm"}}\n</tool_call>'
const BARE = '{"name": "weather", "parameters": {"city": "Ulm"}}'

describe('calls of tools in an answer', () => {
  it.each<[string, ToolFormat, string, WrittenCall[]]>([
    [CALL, 'hermes', '', [weather]],
    [`Let me look.\n${CALL}`, 'hermes', 'Let me look.\n', [weather]],
    [`${CALL}\n${CALL}\n`, 'hermes', '', [weather, weather]],
    ['<tool_call>{"name": "now"}</tool_call>', 'hermes', '', [{ name: 'now', arguments: '{}' }]],
    [CALL.replace('\n</tool_call>', ''), 'hermes', '', [weather]],
    ['no < call', 'hermes', 'no < call', []],
    ['<tool_call>broken</tool_call> so', 'hermes', '<tool_call>broken</tool_call> so', []],
    ['ends in <tool_ca', 'hermes', 'ends in <tool_ca', []],
    [BARE, 'llama3', '', [weather]],
    [`\n${BARE}`, 'llama3', '', [weather]],
    ['{"name": 3}', 'llama3', '{"name": 3}', []],
    ['It is {warm}.', 'llama3', 'It is {warm}.', []],
    ['', 'llama3', '', []]
  ])('%j (%s)', (text, format, shown, calls) => {
    expect(read([text], format)).toEqual({ text: shown, calls })
    // However it is cut.
    fc.assert(
      fc.property(fc.array(fc.nat(text.length), { maxLength: 6 }), cuts => {
        const places = [0, ...cuts.sort((a, b) => a - b), text.length]
        const pieces = places.slice(1).map((to, i) => text.slice(places[i], to))
        expect(read(pieces, format)).toEqual({ text: shown, calls })
      }),
      { numRuns: 200 }
    )
  })

  it('shows text as soon as it can be no call', () => {
    const stream = new CallStream('hermes')
    expect(['Hello ', '<tool', '_box>'].map(piece => stream.push(piece).text)).toEqual(['Hello ', '', '<tool_box>'])
    const bare = new CallStream('llama3')
    expect([' ', 'He', 'llo'].map(piece => bare.push(piece).text)).toEqual(['', ' He', 'llo'])
  })

  it('have the form that the model was trained to write', () => {
    const parameters = { type: 'object', properties: { city: { type: 'string' } } }
    const form = callForm([{ name: 'weather', parameters }, { name: 'now' }], 'hermes')
    expect(form).toMatchObject({ before: '<tool_call>\n', after: '\n</tool_call>' })
    expect(form.schema).toEqual({
      oneOf: [
        { type: 'object', properties: { name: { const: 'weather' }, arguments: parameters } },
        { type: 'object', properties: { name: { const: 'now' }, arguments: { type: 'object' } } }
      ]
    })
    // A hint, as it is where nothing is constrained.
    const odd = { type: 'object', properties: { n: { type: 'integer', minimum: 1 } } }
    expect(callForm([{ name: 'n', parameters: odd }], 'llama3').schema).toEqual({
      oneOf: [{ type: 'object', properties: { name: { const: 'n' }, parameters: { type: 'object' } } }]
    })
  })
})
