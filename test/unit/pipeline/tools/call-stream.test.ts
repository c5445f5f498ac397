import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Tool, ToolFormat } from '../../../../node/engine/types.js'
import type { WrittenCall } from '../../../../node/pipeline/tools/call-reader.js'
import { CallStream } from '../../../../node/pipeline/tools/call-stream.js'

const TOOLS: Tool[] = [
  {
    name: 'weather',
    parameters: { type: 'object', properties: { city: { type: 'string' }, days: { type: 'integer' } } }
  }
]

/** What comes of a text that arrives in these pieces. */
function read(pieces: readonly string[], format: ToolFormat): { text: string; calls: WrittenCall[] } {
  const stream = new CallStream(format, TOOLS)
  const all = [...pieces.map(piece => stream.push(piece)), stream.end()]
  return { text: all.map(({ text }) => text).join(''), calls: all.flatMap(({ calls }) => calls) }
}

const weather = { name: 'weather', arguments: '{"city":"Ulm"}' }
const now = { name: 'now', arguments: '{}' }
const CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Ulm"}}\n</tool_call>'
const BARE = '{"name": "weather", "parameters": {"city": "Ulm"}}'
const LISTED = '{"name": "weather", "arguments": {"city": "Ulm"}}'
const NAMED = '[TOOL_CALLS]weather[ARGS]{"city": "Ulm"}'
const TAGGED = '<tool_call>\n<function=weather>\n<parameter=city>\nUlm\n</parameter>\n</function>\n</tool_call>'

describe('calls of tools in an answer', () => {
  it.each<[string, ToolFormat, string, WrittenCall[]]>([
    [CALL, 'hermes', '', [weather]],
    [`Let me look.\n${CALL}`, 'hermes', 'Let me look.\n', [weather]],
    [`${CALL}\n${CALL}\n`, 'hermes', '', [weather, weather]],
    ['<tool_call>{"name": "now"}</tool_call>', 'hermes', '', [now]],
    [CALL.replace('\n</tool_call>', ''), 'hermes', '', [weather]],
    ['no < call', 'hermes', 'no < call', []],
    ['<tool_call>broken</tool_call> so', 'hermes', '<tool_call>broken</tool_call> so', []],
    ['ends in <tool_ca', 'hermes', 'ends in <tool_ca', []],
    [BARE, 'llama3', '', [weather]],
    [`\n${BARE}`, 'llama3', '', [weather]],
    ['{"name": 3}', 'llama3', '{"name": 3}', []],
    ['It is {warm}.', 'llama3', 'It is {warm}.', []],
    ['', 'llama3', '', []],
    [`[TOOL_CALLS][${LISTED}]`, 'mistral', '', [weather]],
    [`So: [TOOL_CALLS] [${LISTED}, {"name": "now", "id": "a1b2c3d4e"}]\n`, 'mistral', 'So: ', [weather, now]],
    [`[TOOL_CALLS]${LISTED}`, 'mistral', '', [weather]],
    [
      '[TOOL_CALLS][{"name": "w", "arguments": {"a": "]}[\\"", "b": [1]}}] Well?',
      'mistral',
      'Well?',
      [{ name: 'w', arguments: '{"a":"]}[\\"","b":[1]}' }]
    ],
    ['[TOOL_CALLS][{"name": 3}, 4] so', 'mistral', '[TOOL_CALLS][{"name": 3}, 4] so', []],
    ['[TOOL_CALLS] are what?', 'mistral', '[TOOL_CALLS] are what?', []],
    ['[1] and [TOOL', 'mistral', '[1] and [TOOL', []],
    [`[TOOL_CALLS][${LISTED}`, 'mistral', `[TOOL_CALLS][${LISTED}`, []],
    [NAMED, 'mistral-args', '', [weather]],
    [`Well. ${NAMED}${NAMED} `, 'mistral-args', 'Well. ', [weather, weather]],
    ['[TOOL_CALLS]weather[CALL_ID]a1b2c3d4e[ARGS]{"city": "Ulm"}', 'mistral-args', '', [weather]],
    ['[TOOL_CALLS]now{}', 'mistral-args', '', [now]],
    ['[TOOL_CALLS]now[ARGS]{a}', 'mistral-args', '[TOOL_CALLS]now[ARGS]{a}', []],
    ['[TOOL_CALLS]now[ARGS]', 'mistral-args', '[TOOL_CALLS]now[ARGS]', []],
    [TAGGED, 'qwen3-coder', '', [weather]],
    [`I look.\n${TAGGED}\n${TAGGED}\n`, 'qwen3-coder', 'I look.\n', [weather, weather]],
    ['<tool_call><function=now></function></tool_call>', 'qwen3-coder', '', [now]],
    ['<function=weather><parameter=city>Ulm</parameter></function>', 'qwen3-coder', '', [weather]],
    [TAGGED.replace('\n</tool_call>', ' So.'), 'qwen3-coder', 'So.', [weather]],
    [TAGGED.replace('_call>\n<f', '_call>\n\n<f').slice(0, -3), 'qwen3-coder', '', [weather]],
    [
      TAGGED.replace('Ulm', '</function>\n</tool_call>\n<b>a</b>\n').replace(
        '</parameter>',
        '</parameter>\n<parameter=days>\n3\n</parameter>'
      ),
      'qwen3-coder',
      '',
      [{ name: 'weather', arguments: JSON.stringify({ city: '</function>\n</tool_call>\n<b>a</b>\n', days: 3 }) }]
    ],
    ['<tool_call>\n<function=we', 'qwen3-coder', '<tool_call>\n<function=we', []],
    ['<tool_call>no</tool_call>', 'qwen3-coder', '<tool_call>no</tool_call>', []],
    ['<tool_call><tool_call>', 'qwen3-coder', '<tool_call><tool_call>', []],
    ['<function=a b></function> so', 'qwen3-coder', '<function=a b></function> so', []]
  ])('%j (%s)', (text, format, shown, calls) => {
    expect(read([text], format)).toEqual({ text: shown, calls })
    // However it is cut.
    expect(read(Array.from(text), format)).toEqual({ text: shown, calls })
    fc.assert(
      fc.property(fc.array(fc.nat(text.length), { maxLength: 6 }), cuts => {
        expect(read(cutAt(text, cuts), format)).toEqual({ text: shown, calls })
      }),
      { numRuns: 200 }
    )
  })

  it.each<ToolFormat>(['hermes', 'llama3', 'mistral', 'mistral-args', 'qwen3-coder'])(
    'are the same in %s however nonsense is cut',
    format => {
      const words = fc.constantFrom(
        ...['<tool_call>', '</tool_call>', '<function=', 'now', '>', '<parameter=', 'a', '</parameter>', '</function>'],
        ...[
          '[TOOL_CALLS]',
          '[ARGS]',
          '[CALL_ID]',
          '[',
          ']',
          '{',
          '}',
          '"name": "now"',
          '"',
          '\\',
          ' ',
          '\n',
          CALL,
          NAMED
        ]
      )
      const texts = fc.array(words, { maxLength: 12 }).map(all => all.join(''))
      fc.assert(
        fc.property(texts, fc.array(fc.nat(100), { maxLength: 6 }), (text, cuts) => {
          const whole = read([text], format)
          expect(read(cutAt(text, cuts), format)).toEqual(whole)
          expect(read(Array.from(text), format)).toEqual(whole)
        }),
        { numRuns: 1_000 }
      )
    }
  )

  it('shows text as soon as it can be no call', () => {
    const shown = (format: ToolFormat, pieces: string[]): string[] => {
      const stream = new CallStream(format, TOOLS)
      return pieces.map(piece => stream.push(piece).text)
    }
    expect(shown('hermes', ['Hello ', '<tool', '_box>'])).toEqual(['Hello ', '', '<tool_box>'])
    expect(shown('llama3', [' ', 'He', 'llo'])).toEqual(['', ' He', 'llo'])
    expect(shown('mistral', ['See [', 'TOOL_CALLS', '] I', ' say'])).toEqual(['See ', '', '', '[TOOL_CALLS] I say'])
    expect(shown('qwen3-coder', ['a <fun', 'c> b'])).toEqual(['a ', '<func> b'])
  })

  it('come as soon as they have ended', () => {
    const told = (format: ToolFormat, pieces: string[]): number[] => {
      const stream = new CallStream(format, TOOLS)
      return pieces.map(piece => stream.push(piece).calls.length)
    }
    expect(told('mistral', ['[TOOL_CALLS][', LISTED, ']'])).toEqual([0, 0, 1])
    expect(told('mistral-args', ['[TOOL_CALLS]now[ARGS]{', '}', NAMED])).toEqual([0, 1, 1])
    expect(told('qwen3-coder', [TAGGED.slice(0, -1), '>'])).toEqual([0, 1])
  })
})

function cutAt(text: string, cuts: readonly number[]): string[] {
  const places = [0, ...cuts.map(cut => Math.min(cut, text.length)).sort((a, b) => a - b), text.length]
  return places.slice(1).map((to, i) => text.slice(places[i], to))
}
