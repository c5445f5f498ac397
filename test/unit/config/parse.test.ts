import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { nearest, parseBytes, parseCuts, parseDuration, parseLayerRange } from '../../../node/parse.js'

describe('sizes', () => {
  it.each([
    ['4GiB', 4 * 2 ** 30],
    ['4 gib', 4 * 2 ** 30],
    ['1.5MiB', 1.5 * 2 ** 20],
    ['8GB', 8e9],
    ['100', 100],
    ['100B', 100],
    ['2TiB', 2 * 2 ** 40]
  ])('%s is %i bytes', (text, bytes) => expect(parseBytes(text)).toBe(bytes))

  it.each(['', 'GiB', '4G', '-1GiB', '0', '0.1B', '4GiBs', '1e3', '999999999999999TiB', 'auto'])('%j is none', text =>
    expect(parseBytes(text)).toBeUndefined()
  )

  it('are positive whole numbers or nothing, whatever the text', () =>
    fc.assert(
      fc.property(fc.string(), text => {
        const bytes = parseBytes(text)
        return bytes === undefined || (Number.isSafeInteger(bytes) && bytes > 0)
      })
    ))
})

describe('times', () => {
  it.each([
    ['90s', 90],
    ['45m', 2_700],
    ['45min', 2_700],
    ['2h', 7_200],
    ['1h30m', 5_400],
    ['1d12h', 129_600]
  ])('%s are %i seconds', (text, seconds) => expect(parseDuration(text)).toBe(seconds))

  it.each(['', '0s', '5', 'h', '-1h', '1.5h', '2h1d', 'soon'])('%j is none', text =>
    expect(parseDuration(text)).toBeUndefined()
  )
})

describe('layer ranges', () => {
  it.each([
    ['0-8', { start: 0, end: 8 }],
    ['8-9', { start: 8, end: 9 }],
    [' 0-1 ', { start: 0, end: 1 }]
  ])('%j is half open', (text, range) => expect(parseLayerRange(text)).toEqual(range))

  it.each(['', '8', '8-8', '8-0', '-1-8', '0-99999', '0-8-9', '0..8', 'a-b'])('%j is none', text =>
    expect(parseLayerRange(text)).toBeUndefined()
  )

  it('come back as they were written', () =>
    fc.assert(
      fc.property(fc.nat(60_000), fc.integer({ min: 1, max: 5000 }), (start, length) => {
        expect(parseLayerRange(`${start}-${start + length}`)).toEqual({ start, end: start + length })
      })
    ))
})

describe('cuts', () => {
  it.each([
    ['2,5', [2, 5]],
    ['4', [4]],
    ['1, 2 ,3', [1, 2, 3]]
  ])('%j', (text, cuts) => expect(parseCuts(text)).toEqual(cuts))

  it.each(['', '0', '5,2', '2,2', '2,', 'x', '-1', '99999'])('%j are none', text =>
    expect(parseCuts(text)).toBeUndefined()
  )
})

describe('the nearest name', () => {
  it.each([
    ['modle', 'models'],
    ['stat', 'status'],
    ['zzzzzzzzz', undefined]
  ])('of %s is %s', (text, expected) => expect(nearest(text, ['status', 'models', 'share'])).toBe(expected))

  it('is the name itself where it exists', () =>
    fc.assert(
      fc.property(fc.uniqueArray(fc.string({ maxLength: 20 }), { minLength: 1 }), names => {
        expect(nearest(names[0] ?? '', names)).toBe(names[0])
      })
    ))
})
