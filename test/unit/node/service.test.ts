import { describe, expect, it } from 'vitest'
import type { AvailabilityView } from '../../../node/availability/types.js'
import type { GenerateEvent, GenerateRequest, ShareEvent, ShareRequest } from '../../../node/control/contract.js'
import { HoldingError } from '../../../node/holding/errors.js'
import type { EmbedEvent } from '../../../node/pipeline/embedding-types.js'
import { NodeService, type NodeServiceParts } from '../../../node/service.js'
import { createMembership } from '../../../node/swarm/membership.js'
import { parseInvitation } from '../../../protocol/invitation.js'
import { hostBench, connect, open } from '../pipeline/sessions.js'
import { held, nodeView, shard } from '../pipeline/swarm-views.js'
import { MANIFEST } from '../pipeline/toy-mesh.js'

const PEER = '12D3KooWGzBmMVkQMsYZ5YKbvy1hVbQaRgJCkuPr4iFJJwYLzJ5q'
const ONLINE = { state: 'online' as const, pauses: [], overruled: [] }
const ADDRESS = `/ip4/192.0.2.1/tcp/4001/p2p/${PEER}`

/** A node whose pipeline is real and whose other parts say what they are asked. */
async function service({ closed = false } = {}) {
  const { engine, shards, host } = await hostBench()
  const log: string[] = []
  const opened = Promise.withResolvers<undefined>()
  const lifecycle = { isOpen: false, opened: opened.promise, stop: () => Promise.resolve(void log.push('stop')) }
  const nodes = [nodeView(PEER, [], { path: 'self' }), nodeView('b', [held({ shards: [shard(0, 6)] })])]
  const directory = { nodes: () => nodes, refresh: () => Promise.resolve(void log.push('refresh')) }
  const sharing: ShareEvent[] = [
    { event: 'progress', phase: 'reading', done: 0, total: 1 },
    { event: 'shared', model: 'Toy', manifest: MANIFEST, layers: 6, cuts: [] }
  ]
  const holdings = {
    usedBytes: 5,
    hold: (id: string, layers: unknown): Promise<void> =>
      Promise.resolve(void log.push(`hold ${id.slice(0, 2)} ${JSON.stringify(layers)}`)),
    remove: (id: string) => Promise.resolve(void log.push(`remove ${id}`))
  }
  const availability = {
    view: ONLINE as AvailabilityView,
    pause: (milliseconds?: number) => void log.push(`pause ${milliseconds}`),
    resume: () => void log.push('resume'),
    leave: ({ deadlineMs }: { deadlineMs: number }) => Promise.resolve(void log.push(`leave within ${deadlineMs} ms`))
  }
  const parts = {
    home: { path: '/home' },
    config: { name: 'me' },
    membership: createMembership('ours', { closed }),
    swarm: { peer: PEER, directory, addresses: () => [ADDRESS] },
    store: { list: () => [{ id: MANIFEST, manifest: { name: 'Toy', context: 64, tensors: [{ data: { size: 7 } }] } }] },
    holdings,
    tasks: { list: () => [] },
    announcer: { update: () => Promise.resolve(void log.push('announce')) },
    origin: {
      answering: 2,
      generate: async function* (): AsyncGenerator<GenerateEvent> {
        log.push('generate')
        yield await Promise.resolve({ event: 'text' as const, text: 'hi', tokens: [1] })
      },
      embed: async function* (): AsyncGenerator<EmbedEvent> {
        log.push('embed')
        yield await Promise.resolve({ event: 'vectors' as const, vectors: [] })
      }
    },
    forecasts: { follow: (_: GenerateRequest, events: AsyncIterable<GenerateEvent>) => events },
    sharer: {
      share: async function* (): AsyncGenerator<ShareEvent> {
        for (const event of sharing) yield await Promise.resolve(event)
      }
    },
    ...{
      engine,
      shards,
      host,
      trust: host.trust,
      lifecycle,
      availability,
      gatewayUrl: () => 'http://[::1]:80',
      pageUrl: () => undefined
    }
  } as unknown as NodeServiceParts
  const node = new NodeService({ ...parts, memory: { bytes: 9 } })
  const open = (): void => {
    lifecycle.isOpen = true
    opened.resolve(undefined)
  }
  return { node, nodes, log, engine, host, holdings, availability, lifecycle, open }
}

async function read<T>(events: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const event of events) all.push(event)
  return all
}

const REQUEST: GenerateRequest = { model: 'toy', prompt: 'hi', sampling: {} }

describe('NodeService', () => {
  it('says how the node is', async () => {
    const { node, engine, host, open: up } = await service()
    connect(host).port.receive({ type: 'open', open: open() })
    connect(host).port.receive({ type: 'close' })
    engine.addEventListener('lost', () => undefined)
    expect(await node.status()).toMatchObject({
      name: 'me',
      peer: PEER,
      home: '/home',
      state: 'joining',
      peers: 1,
      swarm: { name: 'ours', closed: false },
      addresses: [ADDRESS],
      gateway: 'http://[::1]:80',
      engine: { state: 'ready', backend: 'cpu', restarts: 0, version: 'toy', devices: [] },
      shards: [{ model: 'Toy', start: 0, end: 6, sessions: 1 }],
      sessions: { served: 1, origin: 2 },
      refused: { UNKNOWN_SESSION: 1 },
      memoryBytes: 9,
      usedBytes: 5
    })
    up()
    engine.crash()
    expect(await node.status()).toMatchObject({ state: 'online', engine: { state: 'restarting', restarts: 1 } })
  })

  it('says that it is paused or leaving, the latter also once its parts stop', async () => {
    const { node, availability, lifecycle, open: up } = await service()
    up()
    availability.view = { ...ONLINE, state: 'paused' }
    expect(await node.status()).toMatchObject({ state: 'paused', availability: { state: 'paused' } })
    availability.view = { ...ONLINE, state: 'leaving' }
    lifecycle.isOpen = false
    expect(await node.status()).toMatchObject({ state: 'leaving' })
  })

  it('asks the swarm before it shows peers and models', async () => {
    const { node, log } = await service()
    expect((await node.peers()).map(({ peer }) => peer)).toEqual([PEER, 'b'])
    expect(await node.models({ signal: new AbortController().signal })).toMatchObject([
      { name: 'Toy', complete: true, bytes: 7, context: 64 }
    ])
    expect(log).toEqual(['refresh', 'refresh'])
  })

  it('says that a model is shared once its layers are served and announced', async () => {
    const { node, log } = await service()
    const request: ShareRequest = { file: 'toy.gguf', layers: { start: 0, end: 3 } }
    const seen: string[] = []
    for await (const { event } of node.share(request)) seen.push(`${event} after ${log.length}`)
    expect(seen).toEqual(['progress after 0', 'progress after 0', 'shared after 2'])
    expect(log).toEqual(['hold ab {"start":0,"end":3}', 'announce'])
  })

  it('says so, and why, when a shared model cannot be served here', async () => {
    const { node, holdings } = await service()
    holdings.hold = () => Promise.reject(new HoldingError('MEMORY_TOO_SMALL', 'no room'))
    const events: ShareEvent[] = []
    for await (const event of node.share({ file: 'toy.gguf' })) events.push(event)
    expect(events.at(-1)).toMatchObject({ event: 'shared', manifest: MANIFEST, problem: { code: 'MEMORY_TOO_SMALL' } })
    expect(events.at(-1)).not.toHaveProperty('serves')
  })

  it('answers once everything has started', async () => {
    const { node, log, open: up } = await service()
    const reading = read(node.generate(REQUEST))
    const embedding = read(node.embed({ model: 'toy', input: ['hi'] }))
    await Promise.resolve()
    expect(log).toEqual([])
    up()
    expect(await reading).toEqual([{ event: 'text', text: 'hi', tokens: [1] }])
    expect(await embedding).toEqual([{ event: 'vectors', vectors: [] }])
  })

  it('does not wait for that longer than whoever asked', async () => {
    const { node, log } = await service()
    const controller = new AbortController()
    const reading = read(node.generate(REQUEST, { signal: controller.signal }))
    controller.abort(new Error('enough'))
    await expect(reading).rejects.toThrow('enough')
    expect(log).toEqual([])
  })

  it.each([true, false])('invites to the swarm, with the key where it is closed (%s)', async closed => {
    const { node, open: up } = await service({ closed })
    up()
    const { invitation, name, closed: said } = await node.invite()
    expect([name, said]).toEqual(['ours', closed])
    const { addresses, key } = parseInvitation(invitation)
    expect([addresses, key?.byteLength]).toEqual([[ADDRESS], closed ? 32 : undefined])
  })

  it('stops the node after it has answered', async () => {
    const { node, log } = await service()
    await node.stop({ drainSeconds: 15 })
    expect(log).toEqual([])
    await expect.poll(() => log).toEqual(['leave within 15000 ms', 'stop'])
  })

  it('hands the owner’s pause on, once everything has started', async () => {
    const { node, log, open: up } = await service()
    const pausing = node.pause({ seconds: 60 })
    await Promise.resolve()
    expect(log).toEqual([])
    up()
    expect(await pausing).toEqual(ONLINE)
    await node.pause({})
    expect(await node.resume()).toEqual(ONLINE)
    expect(log).toEqual(['pause 60000', 'pause undefined', 'resume'])
  })

  it.each(['toy', MANIFEST.slice(0, 8)])('removes a model that is called %s', async wanted => {
    const { node, log } = await service()
    expect(await node.remove(wanted)).toEqual({ name: 'Toy', manifest: MANIFEST })
    expect(log).toEqual([`remove ${MANIFEST}`, 'announce'])
  })

  it('removes none that only others have', async () => {
    const { node, nodes, log } = await service()
    nodes.push(nodeView('c', [held({ manifest: '99'.repeat(32), name: 'Abroad' })]))
    await expect(node.remove('abroad')).rejects.toMatchObject({
      code: 'UNKNOWN_MODEL',
      message: 'This node holds nothing of Abroad.'
    })
    expect(log).toEqual([])
  })

  it('removes none that nobody has', async () => {
    const { node, log } = await service()
    await expect(node.remove('toi')).rejects.toMatchObject({
      code: 'UNKNOWN_MODEL',
      message: expect.stringContaining('Did you mean Toy?') as string
    })
    expect(log).toEqual([])
  })
})
