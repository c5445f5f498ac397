import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { argumentValue, schemaOf } from '../../../../node/pipeline/tools/argument-value.js'

const ROOT = {
  $defs: { count: { type: 'integer' }, loop: { $ref: '#/$defs/loop' } },
  properties: { a: { type: 'null' } }
}

describe('an argument without a type', () => {
  it.each<[string, unknown, unknown]>([
    ['3', { type: 'integer' }, 3],
    ['3.0', { type: 'integer' }, 3],
    ['3.5', { type: 'integer' }, '3.5'],
    ['3.5', { type: 'number' }, 3.5],
    ['3', { type: 'number' }, 3],
    ['three', { type: 'number' }, 'three'],
    ['3', { type: 'string' }, '3'],
    ['3', { type: ['integer', 'string'] }, '3'],
    ['null', { type: ['string', 'null'] }, null],
    ['None', { anyOf: [{ type: 'string' }, { type: 'null' }] }, null],
    ['null', { type: 'string' }, 'null'],
    ['true', { type: 'boolean' }, true],
    [' False\n', { type: 'boolean' }, false],
    ['yes', { type: 'boolean' }, 'yes'],
    ['[1, 2]', { type: 'array' }, [1, 2]],
    ['{"a": 1}', { type: 'object' }, { a: 1 }],
    ['{"a": 1}', { type: 'array' }, '{"a": 1}'],
    ["{'a': 1}", { type: 'object' }, "{'a': 1}"],
    ['2', { enum: [1, 2] }, 2],
    ['2', { enum: ['1', '2'] }, '2'],
    ['2', { const: 2 }, 2],
    ['2', { $ref: '#/$defs/count' }, 2],
    ['2', { $ref: '#/$defs/nothing' }, '2'],
    ['2', { $ref: '#/$defs/loop' }, '2'],
    ['2', { oneOf: [{ $ref: '#/$defs/count' }, { type: 'boolean' }] }, 2],
    ['2', undefined, '2'],
    ['2', {}, '2'],
    [' a\nb ', { type: 'string' }, ' a\nb ']
  ])('%j is by %j %j', (text, schema, value) => {
    expect(argumentValue(text, schema, ROOT)).toEqual(value)
  })

  it('has the schema of its name', () => {
    expect(schemaOf('a', ROOT)).toEqual({ type: 'null' })
    expect([schemaOf('b', ROOT), schemaOf('toString', ROOT), schemaOf('a', undefined)]).toEqual(
      Array(3).fill(undefined)
    )
  })

  it('is what it was, whatever JSON it is', () => {
    fc.assert(
      fc.property(fc.jsonValue(), value => {
        const type = {
          type: ['null', 'boolean', 'number', 'array', 'object', ...(typeof value === 'string' ? ['string'] : [])]
        }
        const text = typeof value === 'string' ? value : JSON.stringify(value)
        // Null is the only text that is taken for something else.
        fc.pre(!(typeof value === 'string' && ['null', 'None'].includes(value.trim())))
        expect(argumentValue(text, type, undefined)).toEqual(JSON.parse(JSON.stringify(value)))
      })
    )
  })
})
