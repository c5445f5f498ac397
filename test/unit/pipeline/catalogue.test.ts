import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { incompleteModel, offeredModels, resolveModel } from '../../../node/pipeline/catalogue.js'
import { chooseRoute } from '../../../node/pipeline/route.js'
import type { Manifest } from '../../../node/models/types.js'
import { held, nodeView, shard } from './swarm-views.js'
import { LAYERS, MANIFEST } from './toy-mesh.js'

const OTHER = 'abababab'.repeat(8).replace(/^ab/, 'cd')

describe('the models of a swarm', () => {
  it('are served only by nodes that take sessions; from the others files can be had', () => {
    const models = [held({ shards: [shard(0, 6)], pieces: [{ start: 0, end: 6 }] })]
    for (const state of ['joining', 'draining', 'paused'] as const) {
      const [model] = offeredModels([nodeView('a', models, { state })])
      expect(model?.holders).toEqual([{ peer: 'a', name: 'node of a', start: 0, end: 6, serving: false }])
      expect(model?.missing).toEqual([{ start: 0, end: 6 }])
    }
  })

  it('say who holds what, and which layers nobody serves', () => {
    const models = offeredModels([
      nodeView('a', [held({ pieces: [{ start: 0, end: 6 }], shards: [shard(0, 2)] })]),
      nodeView('b', [held({ shards: [shard(4, 5)] })])
    ])
    expect(models).toMatchObject([
      {
        manifest: MANIFEST,
        holders: [
          { peer: 'a', start: 0, end: 2, serving: true },
          { peer: 'a', start: 0, end: 6, serving: false },
          { peer: 'b', start: 4, end: 5, serving: true, name: 'node of b' }
        ],
        missing: [
          { start: 2, end: 4 },
          { start: 5, end: 6 }
        ]
      }
    ])
  })

  it('come by name, and a record that contradicts the number of layers does not count', () => {
    const models = offeredModels([
      nodeView('a', [held({ name: 'zebra', shards: [shard(0, 6)] }), held({ name: 'ant', manifest: OTHER })]),
      nodeView('liar', [held({ layers: 3, shards: [shard(0, 3)] })])
    ])
    expect(models.map(({ name }) => name)).toEqual(['ant', 'zebra'])
    expect(models[1]?.holders.map(({ peer }) => peer)).toEqual(['a'])
    expect(models[1]?.missing).toEqual([])
  })

  it('have a hole exactly where no shard is', () => {
    const range = fc.tuple(fc.nat(5), fc.nat(5)).map(([a, b]) => shard(Math.min(a, b), Math.max(a, b) + 1))
    fc.assert(
      fc.property(fc.array(range, { maxLength: 5 }), shards => {
        const [model] = offeredModels([nodeView('a', [held({ shards })])])
        for (let layer = 0; layer < LAYERS; layer++) {
          const covers = ({ start, end }: { start: number; end: number }): boolean => start <= layer && layer < end
          expect(model?.missing.some(covers)).toBe(!shards.some(covers))
        }
      })
    )
  })
})

describe('naming a model', () => {
  const models = offeredModels([
    nodeView('a', [
      held({ name: 'Llama' }),
      held({ name: 'llama', manifest: OTHER }),
      held({ manifest: '12'.repeat(32) })
    ])
  ])

  it('works by its name whatever the case, by its hash, and by the beginning of its hash', () => {
    for (const wanted of ['toy', 'TOY', '12'.repeat(32), '121212', '1212121'.toUpperCase()]) {
      expect(resolveModel(models, wanted).manifest).toBe('12'.repeat(32))
    }
    expect(resolveModel(models, 'cdabab').manifest).toBe(OTHER)
  })

  it('fails with UNKNOWN_MODEL and what there is instead', () => {
    for (const wanted of ['12121', '', 'nothing', '121213']) {
      expect(() => resolveModel(models, wanted)).toThrow(expect.objectContaining({ code: 'UNKNOWN_MODEL' }))
    }
    expect(() => resolveModel(models, 'x')).toThrow(/It offers: .*Toy/)
    expect(() => resolveModel([], 'x')).toThrow('flambeau share')
  })

  it('fails with AMBIGUOUS_MODEL where several answer to it', () => {
    expect(() => resolveModel(models, 'llama')).toThrow(
      expect.objectContaining({
        code: 'AMBIGUOUS_MODEL',
        details: { wanted: 'llama', manifests: expect.arrayContaining([MANIFEST, OTHER]) as string[] }
      })
    )
  })

  it('says of an incomplete model what is missing and what to do', () => {
    const [model] = offeredModels([nodeView('a', [held({ shards: [shard(0, 2)] })])])
    if (model === undefined) throw new Error('no model')
    expect(incompleteModel(model)).toMatchObject({
      code: 'INCOMPLETE_MODEL',
      message: expect.stringContaining('--layers 2-6') as string,
      details: { manifest: MANIFEST, missing: [{ start: 2, end: 6 }] }
    })
  })
})

describe('a route', () => {
  const manifest = { layers: LAYERS, cuts: [1, 2, 3, 4, 5] } as Manifest

  const route = (nodes: ReturnType<typeof nodeView>[], exclude: string[] = [], context = 100) => {
    const [model] = offeredModels(nodes)
    if (model === undefined) throw new Error('no model')
    return chooseRoute({ model, manifest, nodes, context, exclude: new Set(exclude) }).stages
  }

  const halves = (changes: Parameters<typeof nodeView>[2] = {}) => [
    nodeView('a', [held({ shards: [shard(0, 3)] })]),
    nodeView('b', [held({ shards: [shard(3, 6)] })], changes)
  ]

  it('chains the shards and says how to reach them', () => {
    expect(route(halves())).toMatchObject([
      { peer: 'a', start: 0, leave: 3, local: false, addresses: ['/ip4/192.0.2.1/tcp/1/p2p/a'] },
      { peer: 'b', start: 3, leave: 6, local: false }
    ])
  })

  it("uses this node's own shard without a socket", () => {
    expect(route(halves({ path: 'self' }))[1]).toMatchObject({ peer: 'b', local: true })
  })

  it('leaves out nodes that are joining, draining or paused, and those that failed', () => {
    for (const state of ['joining', 'draining', 'paused'] as const) {
      expect(() => route(halves({ state }))).toThrow(expect.objectContaining({ code: 'INCOMPLETE_MODEL' }))
    }
    expect(() => route(halves(), ['b'])).toThrow(expect.objectContaining({ code: 'NO_ROUTE' }))
  })

  it('leaves out nodes that this node has banned', () => {
    const nodes = halves().map(node => ({ ...node, banned: node.peer === 'b' }))
    expect(() => route(nodes)).toThrow(expect.objectContaining({ code: 'INCOMPLETE_MODEL' }))
    const spare = nodeView('c', [held({ shards: [shard(3, 6, { secondsPerLayer: 0.5 })] })])
    expect(route([...nodes, spare]).map(({ peer }) => peer)).toEqual(['a', 'c'])
  })

  it('takes a node that is only known from its record where the connected ones do not suffice', () => {
    expect(route(halves({ path: 'unconnected' })).map(({ peer }) => peer)).toEqual(['a', 'b'])
    const spare = nodeView('c', [held({ shards: [shard(3, 6, { secondsPerLayer: 0.5 })] })])
    expect(route([...halves({ path: 'unconnected' }), spare]).map(({ peer }) => peer)).toEqual(['a', 'c'])
  })

  it('never goes over a node that is gone, which the error names', () => {
    const [model] = offeredModels(halves({ path: 'gone' }))
    expect(model).toMatchObject({ missing: [{ start: 3, end: 6 }], holders: [{ peer: 'a' }] })
    const absent: unknown = expect.objectContaining({ absent: ['node of b'] })
    const error = expect.objectContaining({ code: 'INCOMPLETE_MODEL', details: absent }) as Error
    expect(() => route(halves({ path: 'gone' }))).toThrow(error)
  })

  it('prefers peers that are near to each other, by the smaller of what both say', () => {
    const near = nodeView('near', [held({ shards: [shard(3, 6)] })], { latencies: [{ peer: 'a', seconds: 0.001 }] })
    const far = nodeView('b', [held({ shards: [shard(3, 6)] })], { latencies: [{ peer: 'a', seconds: 0.5 }] })
    const first = nodeView('a', [held({ shards: [shard(0, 3)] })], { latencies: [{ peer: 'near', seconds: 0.4 }] })
    expect(route([first, far, near]).map(({ peer }) => peer)).toEqual(['a', 'near'])
  })

  it('takes a node that has room before one that says it has none, which is asked only where all others lack', () => {
    const full = nodeView('a', [held({ shards: [shard(0, 6, { freeSessions: 0 })] })])
    const slow = nodeView('slow', [held({ shards: [shard(0, 6, { secondsPerLayer: 0.5 })] })])
    expect(route([full, slow]).map(({ peer }) => peer)).toEqual(['slow'])
    expect(route([full]).map(({ peer }) => peer)).toEqual(['a'])
    expect(route(halves(), [], 1_000).map(({ peer }) => peer)).toEqual(['a', 'b'])
  })

  it('does not exist where shards do not meet, and says why', () => {
    const nodes = [nodeView('a', [held({ shards: [shard(0, 6)] })]), nodeView('b', [held({ shards: [shard(3, 6)] })])]
    expect(() => route(nodes, ['a'])).toThrow(expect.objectContaining({ code: 'NO_ROUTE' }))
    expect(() => route(nodes, ['a'])).toThrow('excluded')
  })
})
