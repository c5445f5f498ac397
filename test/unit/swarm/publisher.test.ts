import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { createIdentity, type Identity } from '../../../node/swarm/identity.js'
import { Publisher } from '../../../node/swarm/publisher.js'
import { openRecord } from '../../../node/swarm/record.js'
import type { HeldModel, NodeRecord } from '../../../protocol/node-record.js'
import { announcement, silent } from './nodes.js'
import { NOW, SWARM } from './records.js'

let identity: Identity
let published: Uint8Array[]
let publisher: Publisher
let addresses: string[]
let latencies: NodeRecord['latencies']
let warnings: string[]

beforeEach(async () => {
  identity = await createIdentity()
  vi.useFakeTimers({ now: NOW })
  published = []
  addresses = ['/ip4/192.0.2.1/tcp/1']
  latencies = []
  warnings = []
  const logger = { ...silent, warn: (_facts: object, message: string) => void warnings.push(message) }
  publisher = new Publisher(
    {
      ...{ key: identity.privateKey, now: Date.now, logger },
      facts: () => ({ addresses, latencies }),
      publish: envelope => Promise.resolve(void published.push(envelope))
    },
    { swarm: SWARM, agent: 'flambeau/test', relay: false }
  )
})

afterEach(() => {
  publisher.stop()
  vi.useRealTimers()
})

async function records(): Promise<NodeRecord[]> {
  const opened = await Promise.all(published.map(envelope => openRecord(envelope, { swarm: SWARM, now: Date.now() })))
  return opened.map(({ record }) => record)
}

describe('Publisher', () => {
  it('publishes when it starts and every minute or so', async () => {
    publisher.start()
    await vi.advanceTimersByTimeAsync(10)
    expect(published).toHaveLength(1)
    await vi.advanceTimersByTimeAsync(49_000)
    expect(published).toHaveLength(1)
    await vi.advanceTimersByTimeAsync(22_000)
    expect(published).toHaveLength(2)
  })

  it('publishes changes together, at most once a second, the last one surely', async () => {
    publisher.start()
    await vi.advanceTimersByTimeAsync(10)
    for (let change = 0; change < 100; change++) {
      publisher.announce(announcement(`change ${change}`))
      await vi.advanceTimersByTimeAsync(30)
    }
    await vi.advanceTimersByTimeAsync(1_100)
    const names = (await records()).map(({ name }) => name)
    expect(names.length).toBeLessThanOrEqual(6)
    expect(names.at(-1)).toBe('change 99')
  })

  it('publishes soon what changed while it was publishing', async () => {
    const slow = Promise.withResolvers<undefined>()
    const first = new Publisher(
      {
        ...{ key: identity.privateKey, now: Date.now, logger: silent },
        facts: () => ({ addresses, latencies: [] }),
        publish: async envelope => {
          published.push(envelope)
          if (published.length === 1) await slow.promise
        }
      },
      { swarm: SWARM, agent: 'flambeau/test', relay: false }
    )
    first.start()
    await vi.advanceTimersByTimeAsync(10)
    first.announce(announcement('news'))
    slow.resolve(undefined)
    await vi.advanceTimersByTimeAsync(1_100)
    first.stop()
    expect((await records()).map(({ name }) => name)).toEqual(['', 'news'])
  })

  it('signs what is true at that time, with rising sequences even when the clock goes back', async () => {
    const sequences: number[] = []
    for (let turn = 0; turn < 4; turn++) {
      publisher.announce(announcement('node'))
      const { peer, record } = await openRecord(await publisher.envelope(), { swarm: SWARM, now: NOW })
      expect(peer).toBe(identity.peer)
      expect(record.addresses).toEqual(addresses)
      expect(record.expires - Date.now()).toBe(180_000)
      sequences.push(record.sequence)
      addresses = [`/ip4/192.0.2.${turn}/tcp/2`]
      vi.setSystemTime(NOW - turn * 1000)
    }
    expect(sequences).toEqual([...new Set(sequences)].sort((a, b) => a - b))
  })

  it('signs again only after a while', async () => {
    const first = await publisher.envelope()
    expect(await publisher.envelope()).toBe(first)
    vi.setSystemTime(NOW + 2_001)
    expect(await publisher.envelope()).not.toBe(first)
  })

  /** A model whose part of the record has some 770 bytes. */
  function bulky(index: number): HeldModel {
    const cuts = Array.from({ length: 300 }, (_, layer) => layer + 1)
    const manifest = index.toString(16).padStart(64, '0')
    return { manifest, name: 'n'.repeat(256), architecture: 'llama', layers: 400, cuts, pieces: [], shards: [] }
  }

  async function recordOf(count: number): Promise<NodeRecord> {
    publisher.announce(announcement('big', { models: Array.from({ length: count }, (_, index) => bulky(index)) }))
    return (await openRecord(await publisher.envelope(), { swarm: SWARM, now: NOW })).record
  }

  it('leaves out latencies and then the last models of a record that does not fit, and says so once', async () => {
    latencies = [{ peer: identity.peer, seconds: 0.5 }]
    expect(await recordOf(1)).toMatchObject({ latencies })
    expect(warnings).toEqual([])
    const { models, latencies: left } = await recordOf(32)
    expect(left).toEqual([])
    expect(models.length).toBeGreaterThan(8)
    expect(models).toEqual(Array.from({ length: models.length }, (_, index) => bulky(index)))
    await recordOf(33)
    expect(warnings).toEqual([expect.stringContaining('too large')])
  })

  it('warns once when a record cannot be signed at all', async () => {
    publisher.announce(announcement('n'.repeat(257)))
    await expect(publisher.envelope()).rejects.toMatchObject({ code: 'TOO_LARGE' })
    publisher.announce(announcement('n'.repeat(258)))
    await expect(publisher.envelope()).rejects.toMatchObject({ code: 'TOO_LARGE' })
    expect(warnings).toEqual([expect.stringContaining('cannot be signed')])
  })

  it('says nothing once it has stopped', async () => {
    publisher.start()
    publisher.stop()
    publisher.announce(announcement('late'))
    await vi.advanceTimersByTimeAsync(120_000)
    expect(published).toEqual([])
  })
})
