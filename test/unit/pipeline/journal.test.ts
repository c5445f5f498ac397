import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Step } from '../../../protocol/step.js'
import { MAX_STEPS_IN_FLIGHT, REPLAY_STEPS_IN_FLIGHT } from '../../../node/pipeline/constants.js'
import { Feed, type FeedSettings } from '../../../node/pipeline/feed.js'
import { Journal, JournalShelf } from '../../../node/pipeline/journal.js'
import { hiddenStep, tokenStep } from './sessions.js'
import { WIDTH } from './layer-engine.js'

/** Steps of so many rows each, one after another. */
function steps(rows: readonly number[], kind: 'tokens' | 'hidden' = 'tokens'): Step[] {
  let position = 0
  return rows.map((count, i) => {
    const values = Array.from({ length: count }, (_, row) => position + row)
    const step =
      kind === 'tokens'
        ? tokenStep(i + 1, position, values)
        : hiddenStep(
            i + 1,
            position,
            values.flatMap(value => new Array<number>(WIDTH).fill(value))
          )
    position += count
    return step
  })
}

/** The numbers of the rows that a step holds. */
function rowsIn({ input }: Step): number[] {
  if (input.kind === 'tokens') return [...input.tokens]
  const values = new Float32Array(Uint8Array.from(input.bytes).buffer)
  return [...values].filter((_, i) => i % WIDTH === 0)
}

function feedOf(journal: Journal, settings: Partial<FeedSettings> = {}) {
  const sent: Step[] = []
  const told = { caughtUp: 0, gone: 0 }
  const parts = {
    journal,
    send: (step: Step) => sent.push(step),
    onCaughtUp: () => told.caughtUp++,
    onGone: () => told.gone++
  }
  const feed = new Feed(parts, { liveFrom: 1, replay: undefined, ...settings })
  return { feed, sent, told }
}

function journalOf(all: readonly Step[]): Journal {
  const journal = new Journal()
  for (const step of all) journal.append(step)
  return journal
}

describe('a feed', () => {
  it('sends what is live as it is, without waiting for anything', () => {
    const all = steps(new Array<number>(20).fill(3))
    const { feed, sent } = feedOf(journalOf(all))
    feed.pump()
    expect(sent).toEqual(all)
  })

  it('leaves out what is older where nothing is to be replayed', () => {
    const all = steps([5, 1, 1, 1])
    const { feed, sent } = feedOf(journalOf(all), { liveFrom: 3 })
    feed.pump()
    expect(sent).toEqual(all.slice(2))
  })

  it('has a few replayed steps unanswered at most, and tells once when all were run', () => {
    const { feed, sent, told } = feedOf(journalOf(steps(new Array<number>(10).fill(8))), {
      liveFrom: Infinity,
      replay: { rowsPerStep: 8, exact: false }
    })
    feed.pump()
    for (let answered = 0; answered < 10; answered++) {
      expect(sent).toHaveLength(Math.min(10, REPLAY_STEPS_IN_FLIGHT + answered))
      expect(told.caughtUp).toBe(0)
      feed.replayed()
    }
    expect(told.caughtUp).toBe(1)
  })

  it.each(['tokens', 'hidden'] as const)('replays every row once and in order, in steps that fit: %s', kind => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 30 }),
        fc.integer({ min: 1, max: 24 }),
        fc.boolean(),
        fc.nat(30),
        (rows, rowsPerStep, exact, live) => {
          const all = steps(rows, kind)
          const liveFrom = Math.min(live, all.length) + 1
          const { feed, sent } = feedOf(journalOf(all), { liveFrom, replay: { rowsPerStep, exact } })
          feed.pump()
          for (let i = 0; i < 1_000; i++) feed.replayed()
          const total = rows.reduce((sum, count) => sum + count, 0)
          expect(sent.flatMap(rowsIn)).toEqual(Array.from({ length: total }, (_, i) => i))
          const replays = sent.filter(({ replay }) => replay === true)
          for (const { rows: count, want, input, position } of replays) {
            expect(count).toBeLessThanOrEqual(rowsPerStep)
            expect(want.rows).toBe(0)
            expect(rowsIn({ ...sent[0], input } as Step)[0]).toBe(position)
          }
          expect(sent.slice(replays.length)).toEqual(all.slice(liveFrom - 1))
          if (exact && rowsPerStep >= 20)
            expect(replays.map(({ rows: count }) => count)).toEqual(rows.slice(0, liveFrom - 1))
        }
      )
    )
  })

  it('replays what came as a replay, or leaves it out', () => {
    const all = steps([4, 4]).map((step, i) => (i === 0 ? { ...step, replay: true } : step))
    const carried = feedOf(journalOf(all), { replay: { rowsPerStep: 8, exact: false } })
    carried.feed.pump()
    expect(carried.sent.map(({ replay }) => replay)).toEqual([true, undefined])
    const silent = feedOf(journalOf(all))
    silent.feed.pump()
    expect(silent.sent).toEqual(all.slice(1))
  })

  it('goes live where it is: what was replayed is not sent again', () => {
    const all = steps([4, 1, 1])
    const journal = journalOf(all.slice(0, 2))
    const { feed, sent } = feedOf(journal, { liveFrom: Infinity, replay: { rowsPerStep: 8, exact: false } })
    feed.pump()
    feed.goLive(3)
    journal.append(all[2] ?? raise())
    feed.pump()
    expect(sent.map(({ replay, rows }) => [replay, rows])).toEqual([
      [true, 5],
      [undefined, 1]
    ])
  })

  it('says so when the journal is dropped before everything was sent, and is silent then', () => {
    const journal = journalOf(steps(new Array<number>(40).fill(1)))
    const { feed, sent, told } = feedOf(journal, { liveFrom: Infinity, replay: { rowsPerStep: 1, exact: true } })
    feed.pump()
    journal.drop()
    feed.replayed()
    feed.pump()
    expect([told.gone, told.caughtUp, sent.length]).toEqual([1, 0, REPLAY_STEPS_IN_FLIGHT])
  })
})

describe('a journal', () => {
  it('keeps the steps that may be under way when it is dropped, and no more from then on', () => {
    const all = steps(new Array<number>(50).fill(2))
    const journal = journalOf(all.slice(0, 30))
    journal.drop()
    expect([journal.gone, journal.first, journal.end]).toEqual([true, 30 - MAX_STEPS_IN_FLIGHT, 30])
    for (const step of all.slice(30)) journal.append(step)
    expect([journal.first, journal.end, journal.length]).toEqual([50 - MAX_STEPS_IN_FLIGHT, 50, 100])
    expect(journal.at(49)).toBe(all[49])
    expect(journal.at(0)).toBeUndefined()
  })

  it('shares a bound with the others of its node: the largest one goes', () => {
    const shelf = new JournalShelf(4 * 100)
    const [large, small] = [shelf.open(), shelf.open()]
    for (const step of steps(new Array<number>(60).fill(1))) large.append(step)
    for (const step of steps(new Array<number>(30).fill(1))) small.append(step)
    expect([large.gone, small.gone, shelf.bytes]).toEqual([false, false, 4 * 90])
    for (const step of steps(new Array<number>(11).fill(1))) small.append(step)
    expect([large.gone, small.gone]).toEqual([true, false])
    expect(shelf.bytes).toBe(4 * (MAX_STEPS_IN_FLIGHT + 41))
    shelf.close(large)
    shelf.close(small)
    expect(shelf.bytes).toBe(0)
  })
})

function raise(): never {
  throw new RangeError('no such step')
}
