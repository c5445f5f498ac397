import { painter } from '../../../cli/render/colour.js'
import { peerLines } from '../../../cli/render/views.js'
import { describe, expect, it } from 'vitest'
import type { Manifest } from '../../../node/models/types.js'
import { modelViews, peerViews, shardViews } from '../../../node/views.js'
import { LayerEngine } from '../pipeline/layer-engine.js'
import { ServedShard } from '../../../node/pipeline/served-shard.js'
import { held, nodeView, shard } from '../pipeline/swarm-views.js'
import { MANIFEST } from '../pipeline/toy-mesh.js'

describe('what the owner is shown', () => {
  it('of peers: milliseconds, shards by the name of their model, and which one is this node', () => {
    const far = { ...nodeView('b', [held({ shards: [shard(3, 6)] })]), roundTrip: undefined }
    const views = peerViews([
      nodeView('a', [held({ shards: [shard(0, 3)] })], { path: 'self' }),
      far,
      nodeView('c', [])
    ])
    expect(views).toMatchObject([
      { peer: 'a', name: 'node of a', self: true, roundTripMs: 0, shards: [{ model: 'Toy', start: 0, end: 3 }] },
      { peer: 'b', self: false, path: 'direct', state: 'online', agent: 'flambeau/0', relay: false },
      { peer: 'c', roundTripMs: 20, shards: [] }
    ])
    expect(views[1]?.roundTripMs).toBeUndefined()
  })

  it('of peers: which are banned and for how long, also those of which nothing else is known', () => {
    const views = peerViews(
      [nodeView('a', []), nodeView('b', [])],
      [
        { peer: 'b', left: 90_000 },
        { peer: 'c', left: 1_000 }
      ]
    )
    expect(views.map(({ peer, state, bannedSeconds }) => [peer, state, bannedSeconds])).toEqual([
      ['a', 'online', undefined],
      ['b', 'banned', 90],
      ['c', 'banned', 1]
    ])
    const [, known, unknown] = peerLines(views, painter({}, {})).slice(1)
    expect(known).toMatch(/^node of b .* banned for 1 min 30 s /)
    expect(unknown).toMatch(/^- .* banned for 1 s .* - .* - /)
  })

  it('of peers: the load of their layers, but of those alone that take sessions', () => {
    const busy = shard(0, 3, { freeSessions: 0, freeContext: 100, queue: 1.26, secondsPerLayer: 0.002 })
    const views = peerViews([
      nodeView('a', [held({ shards: [busy, shard(3, 6, { freeSessions: 2, freeContext: 513, queue: 0.04 })] })]),
      nodeView('b', [held({ shards: [shard(0, 3, { freeSessions: 3, queue: 0.5 })] })]),
      nodeView('c', [held({ shards: [shard(0, 3, { freeContext: 0 })] })]),
      nodeView('d', [held({ shards: [shard(0, 3)] })], { state: 'draining' }),
      nodeView('e', [])
    ])
    expect(views[0]?.shards).toEqual([
      { model: 'Toy', start: 0, end: 3, secondsPerLayer: 0.002, freeSessions: 0, freeContext: 100, queue: 1.26 },
      { model: 'Toy', start: 3, end: 6, secondsPerLayer: 0.001, freeSessions: 2, freeContext: 513, queue: 0.04 }
    ])
    const [title = '', ...lines] = peerLines(views, painter({}, {}))
    expect(lines.map(line => line.slice(title.indexOf('load')))).toEqual([
      ...['full, 1.3 wait; 2 free', '3 free, 512 positions, 0.5 wait', 'full', '-', '-']
    ])
  })

  it('of models: whether they are complete, and what is missing', () => {
    const nodes = [nodeView('a', [held({ shards: [shard(0, 3)] })])]
    expect(modelViews(nodes)).toMatchObject([{ name: 'Toy', complete: false, missing: [{ start: 3, end: 6 }] }])
    nodes.push(nodeView('b', [held({ shards: [shard(3, 6)] })]))
    expect(modelViews(nodes)).toMatchObject([{ complete: true, missing: [], holders: [{ peer: 'a' }, { peer: 'b' }] }])
  })

  it('of models: their size and context where their manifest is here', () => {
    const nodes = [nodeView('a', [held({ shards: [shard(0, 3)] })])]
    expect(modelViews(nodes)[0]).not.toHaveProperty('bytes')
    const tensor = (name: string, size: number) => ({ name, dims: [size], type: 0, data: { size, pieces: [] } })
    const tensors = [tensor('token_embd.weight', 70), tensor('blk.0.attn_q.weight', 5)]
    const manifest = { context: 64, tensors } as unknown as Manifest
    expect(modelViews(nodes, new Map([[MANIFEST, manifest]]))).toMatchObject([{ name: 'Toy', bytes: 75, context: 64 }])
    expect(modelViews(nodes, new Map([['other', manifest]]))[0]).not.toHaveProperty('context')
  })

  it('of shards: the name of the model, or its hash where it has none here', () => {
    const loaded = { id: 1, width: 4, vocabulary: 61, context: 100, sequences: 2, batch: 8 }
    const facts = { manifest: MANIFEST, range: { start: 0, end: 3 }, layers: 6, loaded }
    const served = new ServedShard({ engine: new LayerEngine() }, facts)
    served.reserve(40)
    const expected = {
      ...{ manifest: MANIFEST, start: 0, end: 3, secondsPerLayer: 0, sessions: 1 },
      ...{ context: 100, freeContext: 60 }
    }
    expect(shardViews([served], new Map([[MANIFEST, 'Toy']]))).toEqual([{ model: 'Toy', ...expected }])
    expect(shardViews([served], new Map())).toEqual([{ model: MANIFEST, ...expected }])
  })
})
