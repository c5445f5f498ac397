import { describe, expect, it } from 'vitest'
import { toGeneratorSchema } from '../../../node/engine/json-schema.js'

const text = { type: 'string' }
const refused = (why: RegExp): Error =>
  expect.objectContaining({ code: 'BAD_SCHEMA', message: expect.stringMatching(why) as string }) as Error

describe('a JSON schema for the generator', () => {
  it.each([
    [{ type: 'object' }, { type: 'object', additionalProperties: true }],
    [
      { type: 'object', title: 'T', required: ['a'], properties: { a: { ...text, description: 'an a' } } },
      { type: 'object', properties: { a: text }, additionalProperties: false }
    ],
    [
      { type: 'object', properties: {}, additionalProperties: { anyOf: [text, { type: 'null' }] } },
      { type: 'object', properties: {}, additionalProperties: { oneOf: [text, { type: 'null' }] } }
    ],
    [
      { type: ['object', 'null'], properties: { a: text } },
      { oneOf: [{ type: 'object', properties: { a: text }, additionalProperties: false }, { type: 'null' }] }
    ],
    [
      { $ref: '#/definitions/a', definitions: { a: { type: 'array', items: { $ref: '#/$defs/a' }, minItems: 1 } } },
      { $ref: '#/$defs/a', $defs: { a: { type: 'array', items: { $ref: '#/$defs/a' }, minItems: 1 } } }
    ],
    [{ enum: ['x', 1, null] }, { enum: ['x', 1, null] }],
    [{ type: 'string', const: 'x' }, { const: 'x' }],
    [{ type: ['string', 'null'], maxLength: 3 }, { oneOf: [{ type: 'string', maxLength: 3 }, { type: 'null' }] }],
    [
      { type: 'string', format: 'date' },
      { type: 'string', format: 'date' }
    ]
  ])('%j', (schema, expected) => {
    expect(toGeneratorSchema(schema)).toEqual(expected)
  })

  it.each([
    [{ type: 'string', pattern: 'a' }, /at the root, `pattern` is not supported/],
    [{ type: 'object', properties: { n: { type: 'integer', minimum: 1 } } }, /at properties\.n, `minimum`/],
    [{ type: 'string', format: 'email' }, /`format` may be date, time, date-time/],
    [{ allOf: [text] }, /needs a `type`/],
    [{ type: 'list' }, /needs a `type`/],
    [{ $ref: '#' }, /`\$ref` may only point/],
    [{ $ref: '#/$defs/nowhere' }, /which is nowhere/],
    [{ anyOf: [] }, /at anyOf, it is a list/],
    [{ type: 'array', items: [text] }, /at items, a schema is an object/],
    [{ type: 'object', properties: 3 }, /at properties, it is an object/],
    ['text', /a schema is an object/]
  ])('%j is refused, never bent', (schema, why) => {
    expect(() => toGeneratorSchema(schema)).toThrow(refused(why))
  })

  it('has a depth and a size', () => {
    let deep: object = text
    for (let i = 0; i < 40; i++) deep = { type: 'array', items: deep }
    const wide = { type: 'object', properties: Object.fromEntries(Array.from({ length: 3_000 }, (_, i) => [i, text])) }
    expect(() => toGeneratorSchema(wide)).toThrow(refused(/too large/))
    let deeper: object = deep
    for (let i = 0; i < 60; i++) deeper = { type: 'array', items: deeper }
    expect(() => toGeneratorSchema(deeper)).toThrow(refused(/too deep/))
  })
})
