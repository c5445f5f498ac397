import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  type CutSearch,
  cutCandidates,
  cutsBetweenKinds,
  knownPeriod,
  type LayerKind,
  layerKinds,
  multiplesBelow,
  rangesBetween
} from '../../../node/models/cut-period.js'

const nothing = (): undefined => undefined

describe('the known period', () => {
  it('is 1 for a plain architecture', () => {
    expect(knownPeriod('llama', nothing)).toBe(1)
  })

  it('comes from the table where the model does not say', () => {
    expect(knownPeriod('gemma3', nothing)).toBe(6)
    expect(knownPeriod('qwen35', nothing)).toBe(4)
  })

  it('follows a number in the metadata', () => {
    expect(knownPeriod('gemma3', key => (key === 'gemma3.attention.sliding_window_pattern' ? 3 : undefined))).toBe(3)
    expect(knownPeriod('qwen3next', key => (key === 'qwen3next.full_attention_interval' ? 8 : undefined))).toBe(8)
  })

  it('is 1 where the metadata has a flag for each layer, because those are cut with the model', () => {
    expect(knownPeriod('gpt-oss', () => [true, false, true, false])).toBe(1)
  })

  it('is 1 where the pattern in the metadata is switched off', () => {
    expect(knownPeriod('gemma2', () => 0)).toBe(1)
  })

  it('cannot be overridden where llama.cpp has it in its code', () => {
    expect(knownPeriod('smollm3', () => 1)).toBe(4)
  })
})

const A: LayerKind = 'attention'
const R: LayerKind = 'recurrent'
const O: LayerKind = 'other'

describe('kinds of layers', () => {
  it('are of no interest for an architecture with one kind', () => {
    expect(layerKinds('llama', () => [1, 1])).toBeUndefined()
  })

  it('come from the flags of recurrent layers', () => {
    expect(layerKinds('qwen35', key => (key === 'qwen35.attention.recurrent_layers' ? [1, 0, 1] : undefined))).toEqual([R, A, R])
  })

  it('come from the number of key heads, which recurrent layers do not have', () => {
    expect(layerKinds('lfm2', key => (key === 'lfm2.attention.head_count_kv' ? [0, 0, 8] : 4608))).toEqual([R, R, A])
  })

  it('leave feed-forward layers apart where those stand alone', () => {
    const metadata = new Map([
      ['nemotron_h.attention.head_count_kv', [0, 0, 8, 0]],
      ['nemotron_h.feed_forward_length', [0, 4096, 0, 4096]]
    ])
    expect(layerKinds('nemotron_h', key => metadata.get(key))).toEqual([R, O, A, O])
  })
})

describe('cuts between kinds', () => {
  it('are as many as leave both kinds everywhere', () => {
    expect(cutsBetweenKinds([R, A, R, A, R, A])).toEqual([2, 4])
    expect(cutsBetweenKinds([R, R, R, R, R, A, R, R, R, R, R, R, R, R, R, A, R, R])).toEqual([6])
    expect(cutsBetweenKinds([R, O, A, O, R, A])).toEqual([3])
    expect(cutsBetweenKinds([R, R, R])).toEqual([])
  })

  it('leave both kinds between any two of them', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(A, R, O), { minLength: 1, maxLength: 100 }), kinds => {
        const cuts = cutsBetweenKinds(kinds)
        for (const { start, end } of cuts.length === 0 ? [] : rangesBetween(cuts, kinds.length)) {
          expect(kinds.slice(start, end)).toEqual(expect.arrayContaining([A, R]))
        }
      })
    )
  })
})

describe('candidates for cuts', () => {
  const search = (architecture: string, layers: number, known: number, kinds?: LayerKind[]): CutSearch => ({
    architecture,
    layers,
    known,
    kinds
  })

  it('start with every multiple of the known period, densest first', () => {
    expect(cutCandidates(search('llama', 4, 1))).toEqual([
      { rule: 'any layer', cuts: [1, 2, 3] },
      { rule: 'every 2 layers', cuts: [2] },
      { rule: 'every 3 layers', cuts: [3] }
    ])
    expect(cutCandidates(search('smollm3', 12, 4)).map(({ cuts }) => cuts)).toEqual([[4, 8], [8]])
  })

  it('are none when the pattern is as long as the model', () => {
    expect(cutCandidates(search('llama4', 4, 4))).toEqual([])
  })

  it('also leave the last cut out where the layers after it may be of one kind', () => {
    expect(cutCandidates(search('qwen35', 10, 4)).map(({ cuts }) => cuts)).toEqual([[4, 8], [4], [8]])
  })

  it('prefer what the metadata says about the kinds of layers', () => {
    expect(cutCandidates(search('lfm2', 4, 1, [R, A, A, R]))[0]).toEqual({
      rule: 'both kinds of layer in each part',
      cuts: [2]
    })
  })

  it('do not trust a list of kinds that has another length than the model', () => {
    expect(cutCandidates(search('lfm2', 4, 1, [R, A, A, R, R, A]))[0]?.rule).toBe('any layer')
  })

  it('are ascending multiples of the known period within the model, whatever its size', () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 128 }), fc.integer({ min: 1, max: 8 }), (layers, known) => {
        for (const { cuts } of cutCandidates(search('jamba', layers, known))) {
          expect(cuts.length).toBeGreaterThan(0)
          expect(cuts.every(cut => cut % known === 0)).toBe(true)
          expect(() => rangesBetween(cuts, layers)).not.toThrow()
        }
      })
    )
  })
})

describe('multiples', () => {
  it('stay below the number of layers', () => {
    expect(multiplesBelow(8, 4)).toEqual([4])
    expect(multiplesBelow(9, 4)).toEqual([4, 8])
    expect(multiplesBelow(1, 1)).toEqual([])
  })
})

describe('ranges between cuts', () => {
  it('cover the model without gaps', () => {
    expect(rangesBetween([2, 5], 8)).toEqual([
      { start: 0, end: 2 },
      { start: 2, end: 5 },
      { start: 5, end: 8 }
    ])
    expect(rangesBetween([], 8)).toEqual([{ start: 0, end: 8 }])
  })

  it.each([[[0]], [[8]], [[9]], [[3, 3]], [[5, 2]], [[1.5]], [[NaN]]])('refuse cuts %j of 8 layers', cuts => {
    expect(() => rangesBetween(cuts, 8)).toThrow(RangeError)
  })
})
