import { describe, expect, it } from 'vitest'
import { createIdentity } from '../../../node/swarm/identity.js'
import { RecordBook } from '../../../node/swarm/record-book.js'
import { MAX_CLOCK_SKEW_MS } from '../../../protocol/limits.js'
import { envelope, NOW, SWARM } from './records.js'

interface Clock {
  now: number
}

function createBook(maxRecords?: number, kept: string[] = []): { book: RecordBook; clock: Clock; changes: boolean[] } {
  const clock = { now: NOW }
  const changes: boolean[] = []
  const settings = maxRecords === undefined ? { swarm: SWARM } : { swarm: SWARM, maxRecords }
  const book = new RecordBook(
    { now: () => clock.now, onChange: news => changes.push(news), isKept: peer => kept.includes(peer) },
    settings
  )
  return { book, clock, changes }
}

describe('RecordBook', () => {
  it('keeps the newest record of each peer and refuses older ones', async () => {
    const { book } = createBook()
    const identity = await createIdentity()
    const older = await envelope({ name: 'older', sequence: NOW }, identity)
    const newer = await envelope({ name: 'newer', sequence: NOW + 1 }, identity)
    await book.learn(older)
    await book.learn(newer)
    await expect(book.learn(older)).rejects.toMatchObject({ code: 'RECORD_STALE' })
    expect(book.get(identity.peer)?.record.name).toBe('newer')
    expect(book.entries()).toHaveLength(1)
  })

  it('refuses a record that is signed by somebody else than its owner', async () => {
    const { book } = createBook()
    const owner = await createIdentity()
    await expect(book.learn(await envelope(), owner.peer)).rejects.toMatchObject({ code: 'RECORD_FORGED' })
    await expect(book.learn(await envelope({}, owner), owner.peer)).resolves.toBeUndefined()
    expect(book.entries().map(({ peer }) => peer)).toEqual([owner.peer])
  })

  it('takes a record that it has from its owner again, until it has expired, and from nobody else', async () => {
    const { book, changes, clock } = createBook()
    const [owner, other] = [await createIdentity(), await createIdentity()]
    const known = await envelope({}, owner)
    await book.learn(known, owner.peer)
    await book.learn(known, owner.peer)
    expect(changes).toHaveLength(1)
    await expect(book.learn(known, other.peer)).rejects.toMatchObject({ code: 'RECORD_FORGED' })
    clock.now += 3_600_000
    await expect(book.learn(known, owner.peer)).rejects.toMatchObject({ code: 'RECORD_EXPIRED' })
  })

  it('says whether a change is news or only another load', async () => {
    const { book, changes } = createBook()
    const identity = await createIdentity()
    await book.learn(await envelope({ sequence: NOW }, identity))
    await book.learn(await envelope({ sequence: NOW + 1 }, identity))
    await book.learn(await envelope({ sequence: NOW + 2, addresses: ['/ip4/192.0.2.2/tcp/1'] }, identity))
    const same = await envelope({ sequence: NOW + 3, state: 'draining' }, identity)
    await book.learn(same)
    await book.learn(same)
    expect(changes).toEqual([true, false, true, true])
  })

  it('passes on what was news a moment ago, to others than its subject', async () => {
    const { book, clock } = createBook()
    const [first, second] = [await createIdentity(), await createIdentity()]
    const early = await envelope({ name: 'early' }, first)
    await book.learn(early)
    clock.now += 14_000
    const late = await envelope({ name: 'late' }, second)
    await book.learn(late)
    expect(book.news(10, 'nobody')).toEqual([early, late])
    expect(book.news(1, 'nobody')).toEqual([late])
    expect(book.news(10, second.peer)).toEqual([early])
    clock.now += 2_000
    expect(book.news(10, 'nobody')).toEqual([late])
    expect(book.envelopes(10, 'nobody')).toEqual([late, early])
  })

  it('forgets records that expire and then no longer guards them', async () => {
    const { book, clock, changes } = createBook()
    await book.learn(await envelope())
    clock.now = NOW + 180_000 + MAX_CLOCK_SKEW_MS
    book.sweep()
    expect(book.entries()).toHaveLength(1)
    clock.now += 1
    book.sweep()
    expect(book.entries()).toEqual([])
    expect(changes).toEqual([true, false])
  })

  it('forgets whom it has not heard of for the longest time when it is full', async () => {
    const { book } = createBook(2)
    const [first, second, third] = [await createIdentity(), await createIdentity(), await createIdentity()]
    await book.learn(await envelope({}, first))
    await book.learn(await envelope({}, second))
    await book.learn(await envelope({ sequence: NOW + 1 }, first))
    await book.learn(await envelope({}, third))
    expect(book.entries().map(({ peer }) => peer)).toEqual([first.peer, third.peer])
  })

  it('never forgets this node and those that it is connected to for lack of room', async () => {
    const [self, stranger, another] = [await createIdentity(), await createIdentity(), await createIdentity()]
    const { book } = createBook(2, [self.peer])
    await book.learn(await envelope({}, self))
    await book.learn(await envelope({}, stranger))
    await book.learn(await envelope({}, another))
    expect(book.entries().map(({ peer }) => peer)).toEqual([self.peer, another.peer])
  })
})
