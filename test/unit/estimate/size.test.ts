import { describe, expect, it } from 'vitest'
import { freeBytes, missingRanges } from '../../../node/estimate/room.js'
import { fitsTogether } from '../../../node/estimate/size.js'
import { held, nodeView, shard } from '../pipeline/swarm-views.js'
import { LAYERS, MANIFEST } from '../pipeline/toy-mesh.js'

const HARDWARE = { backend: 'cpu', device: '', threads: 1 }
const TOY = { layerBytes: Array.from({ length: LAYERS }, () => 10), embeddingBytes: 4, headBytes: 6 }
const known = (manifest: string) => (manifest === MANIFEST ? TOY : undefined)

describe('whether layers fit what nodes give together', () => {
  it.each([
    [[70], true],
    [[69], false],
    // 34 less the embedding are three layers, 36 less the head are three more.
    [[34, 36], true],
    [[33, 36], false],
    [[26, 24, 20], true],
    [[29, 29, 9], false],
    [[20, 20, 20], false],
    [[], false]
  ])('%j: %s', (memories, fits) => expect(fitsTogether(TOY, memories)).toBe(fits))
})

describe('free memory', () => {
  const node = (peer: string, memoryBytes: number, models = [held()]) =>
    nodeView(peer, models, { hardware: { ...HARDWARE, memoryBytes } })

  it('is what shards leave, ends included, where all of them are known', () => {
    expect(freeBytes(node('a', 100, [held({ shards: [shard(0, 2)] })]), known)).toBe(100 - 20 - 4)
    expect(freeBytes(node('a', 100, [held({ shards: [shard(4, 6)] })]), known)).toBe(100 - 20 - 6)
    expect(
      freeBytes(node('a', 100, [held({ manifest: 'cd'.repeat(32), shards: [shard(0, 2)] })]), known)
    ).toBeUndefined()
    expect(freeBytes(node('a', 100, [held({ manifest: 'cd'.repeat(32) })]), known)).toBe(100)
  })

  it('could take layers that nobody serves', () => {
    const nodes = [
      node('small', 29),
      node('roomy', 90, [held({ shards: [shard(0, 4)] })]),
      node('large', 200),
      nodeView('paused', [], { state: 'paused', hardware: { ...HARDWARE, memoryBytes: 500 } })
    ]
    const model = { manifest: MANIFEST, missing: [{ start: 4, end: 6 }] }
    const [range] = missingRanges(model, nodes, known)
    expect(range).toMatchObject({ start: 4, end: 6, bytes: 26 })
    expect(range?.takers.map(({ peer, freeBytes }) => [peer, freeBytes])).toEqual([
      ['large', 200],
      ['roomy', 46],
      ['small', 29]
    ])
    expect(missingRanges(model, nodes, () => undefined)).toEqual([{ start: 4, end: 6, bytes: undefined, takers: [] }])
  })
})
