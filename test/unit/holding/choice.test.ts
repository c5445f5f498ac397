import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { chooseRange, type ChoiceInput } from '../../../node/holding/choice.js'
import { footprint, type Footprint } from '../../../node/holding/footprint.js'
import type { LayerRange, StoredModel } from '../../../node/models/types.js'
import { bytesOfRange } from '../../../node/scheduler/fit.js'
import { held, nodeView, shard } from '../pipeline/swarm-views.js'
import { LAYERS, MANIFEST } from '../pipeline/toy-mesh.js'
import { models } from './models.js'

const CUTS = [2, 4]
const SIZE: Footprint = { layerBytes: [10, 10, 10, 10, 10, 10], embeddingBytes: 5, headBytes: 7 }

function input(changes: Partial<ChoiceInput> & { shards?: StoredModel['shards'] } = {}): ChoiceInput {
  const manifest = { name: 'Toy', layers: LAYERS, cuts: CUTS } as StoredModel['manifest']
  const { shards = [], ...others } = changes
  const model = { id: MANIFEST, manifest, headerFile: undefined, sourceFile: undefined, shards }
  const nothing = { pinned: undefined, nodes: [], layersPerSecond: undefined }
  return { model, footprint: SIZE, memoryBytes: 1_000, ...nothing, ...others }
}

const others = (...ranges: [number, number][]) => [
  nodeView('a', [held({ shards: ranges.map(([start, end]) => shard(start, end)) })])
]

describe('the layers that a node should hold', () => {
  it('are all where memory suffices', () => {
    expect(chooseRange(input())).toEqual({ start: 0, end: 6 })
  })

  it('are those that nobody else serves', () => {
    expect(chooseRange(input({ memoryBytes: 25, nodes: others([0, 2], [4, 6]) }))).toEqual({ start: 2, end: 4 })
  })

  it('are also those of a node that lets go of them', () => {
    const leaving = nodeView('b', [held({ shards: [shard(0, 2)] })], { state: 'draining' })
    expect(chooseRange(input({ memoryBytes: 25, nodes: [leaving, ...others([2, 4], [4, 6])] })).start).toBe(0)
  })

  it('are the ones whose file is here already, where they fit', () => {
    const shards = [{ range: { start: 4, end: 6 }, file: 'kept' }]
    expect(chooseRange(input({ shards, nodes: others([4, 6]), memoryBytes: 30 }))).toEqual({ start: 4, end: 6 })
    expect(chooseRange(input({ shards, memoryBytes: 26 }))).not.toEqual({ start: 4, end: 6 })
  })

  it('do not follow from what this node itself was said to serve', () => {
    const nodes = [nodeView('self', [held({ shards: [shard(0, 2)] })], { path: 'self' })]
    expect(chooseRange(input({ memoryBytes: 25, nodes })).start).toBe(0)
  })

  it('are the ones that the owner pins', () => {
    expect(chooseRange(input({ pinned: { start: 2, end: 6 } }))).toEqual({ start: 2, end: 6 })
  })

  it.each([
    { start: 1, end: 4 },
    { start: 2, end: 5 },
    { start: 0, end: 7 }
  ])('cannot be pinned at $start-$end, where the model cannot be cut', pinned => {
    const choose = (): LayerRange => chooseRange(input({ pinned }))
    expect(choose).toThrow(expect.objectContaining({ code: 'PINNED_RANGE' }) as Error)
    expect(choose).toThrow('0, 2, 4, 6')
  })

  it('must fit what the owner gives, pinned or not', () => {
    const small = { code: 'MEMORY_TOO_SMALL', details: { manifest: MANIFEST, neededBytes: 27, memoryBytes: 26 } }
    expect(() => chooseRange(input({ pinned: { start: 4, end: 6 }, memoryBytes: 26 }))).toThrow(
      expect.objectContaining(small) as Error
    )
    const none = { code: 'MEMORY_TOO_SMALL', details: { manifest: MANIFEST, neededBytes: 20, memoryBytes: 19 } }
    expect(() => chooseRange(input({ memoryBytes: 19 }))).toThrow(expect.objectContaining(none) as Error)
  })

  it('always fit and begin and end at cuts, whatever others say', () => {
    const range = fc.constantFrom<[number, number]>([0, 2], [0, 4], [2, 4], [2, 6], [4, 6], [0, 6])
    const speed = fc.double({ min: 0, max: 3_600, noNaN: true })
    const shards = fc.array(fc.tuple(range, speed), { maxLength: 6 })
    fc.assert(
      fc.property(
        shards,
        fc.integer({ min: 20, max: 100 }),
        fc.option(fc.double({ min: 0, noNaN: true })),
        (all, memoryBytes, own) => {
          const offered = all.map(([[start, end], secondsPerLayer]) => shard(start, end, { secondsPerLayer }))
          const nodes = [nodeView('a', [held({ shards: offered })])]
          const chosen = chooseRange(input({ nodes, memoryBytes, layersPerSecond: own ?? undefined }))
          const bounds = [0, ...CUTS, LAYERS]
          expect(bounds).toContain(chosen.start)
          expect(bounds).toContain(chosen.end)
          expect(chosen.start).toBeLessThan(chosen.end)
          expect(bytesOfRange(SIZE, chosen)).toBeLessThanOrEqual(memoryBytes)
        }
      )
    )
  })
})

describe('the footprint of layers', () => {
  const sum = (ranges: LayerRange[]): number => ranges.reduce((total, range) => total + bytesOfRange(SIZE, range), 0)

  it('is the same whole or in parts, with the ends counted once', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.integer({ min: 1, max: 5 })), cuts => {
        const bounds = [0, ...cuts.sort((a, b) => a - b), 6]
        expect(sum(bounds.slice(1).map((end, i) => ({ start: bounds[i] ?? 0, end })))).toBe(72)
      })
    )
  })

  it('grows with the context, by the keys and values of every layer', async () => {
    await using model = await models()
    const { metadata } = await model.theirs.header(model.id)
    const at = (context: number): Footprint => footprint(model.manifest, metadata, context)
    const [empty, some] = [at(0), at(100)]
    // 2 key heads of 16 elements, keys and values, f16.
    expect(some.layerBytes.map((bytes, layer) => bytes - (empty.layerBytes[layer] ?? 0))).toEqual(
      new Array<number>(8).fill(100 * 2 * 16 * 2 * 2)
    )
    const weights = model.manifest.tensors.reduce((total, { data }) => total + data.size, 0)
    expect(bytesOfRange(empty, { start: 0, end: 8 })).toBe(weights)
  })
})
