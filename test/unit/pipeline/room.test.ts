import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Room, type Place } from '../../../node/pipeline/room.js'

const SIZE = { sequences: 3, context: 100 }

const room = (size = SIZE): Room => new Room(size, { now: () => 0 })

describe('Room', () => {
  it('counts what rests as free, and makes room of it when it is needed, the longest first', () => {
    const shard = room()
    const places = [40, 30, 30].map(context => shard.enter(context, 'a'))
    const left: number[] = []
    places.forEach((place, i) =>
      place.rest(20, () => {
        left.push(i)
        place.leave()
      })
    )
    expect(shard).toMatchObject({ sessions: 0, freeSessions: 3, freeContext: 100 })
    shard.enter(10, 'b')
    expect(left).toEqual([0])
    shard.enter(60, 'b')
    expect(left).toEqual([0, 1])
    expect(shard).toMatchObject({ sessions: 2, freeSessions: 1, freeContext: 30 })
  })

  it('lets nobody go for a session that would not fit all the same', () => {
    const shard = room()
    shard.enter(60, 'a')
    let gone = false
    shard.enter(40, 'a').rest(40, () => (gone = true))
    expect(() => shard.enter(41, 'b')).toThrow(/41 positions asked, 40 free/)
    expect(gone).toBe(false)
  })

  it('resumes with more positions, for which others that rest give way, or as it was where that is too little', () => {
    const shard = room()
    const [mine, other] = [shard.enter(50, 'a'), shard.enter(50, 'b')]
    for (const place of [mine, other]) place.rest(50, () => place.leave())
    mine.resume(60)
    expect(shard).toMatchObject({ sessions: 1, freeSessions: 2, freeContext: 40 })
    expect(() => mine.resume(101)).toThrow(/positions asked, 40 free/)
    mine.leave()
    expect(shard).toMatchObject({ sessions: 0, freeSessions: 3, freeContext: 100 })
  })

  it('is not resumed by who has others, while somebody without any was turned away', () => {
    const shard = room({ sequences: 2, context: 100 })
    const [first, second] = [shard.enter(50, 'greedy'), shard.enter(50, 'greedy')]
    expect(() => shard.enter(50, 'poor')).toThrow(/50 positions asked, 0 free/)
    second.rest(50, () => second.leave())
    expect(() => second.resume(50)).toThrow(/others want the rest/)
    second.leave()
    shard.enter(50, 'poor')
    expect(shard).toMatchObject({ sessions: 2, freeSessions: 0, freeContext: 0 })
    first.leave()
  })

  it('never has more than there is, whatever rests, goes on and leaves', () => {
    const action = fc.record({
      what: fc.constantFrom('enter', 'rest', 'resume', 'leave'),
      which: fc.nat(5),
      context: fc.integer({ min: 1, max: 60 })
    })
    fc.assert(
      fc.property(fc.array(action, { maxLength: 60 }), actions => {
        const shard = room()
        const places = new Map<Place, { context: number; rests: boolean }>()
        const leave = (place: Place): void => {
          places.delete(place)
          place.leave()
        }
        for (const { what, which, context } of actions) {
          const [place, state] = [...places][which] ?? []
          try {
            if (what === 'enter') places.set(shard.enter(context, `peer ${which}`), { context, rests: false })
            if (place === undefined || state === undefined) continue
            if (what === 'leave') leave(place)
            if (what === 'rest' && !state.rests) {
              place.rest(Math.min(context, state.context), () => leave(place))
              Object.assign(state, { context: Math.min(context, state.context), rests: true })
            }
            if (what === 'resume' && state.rests) {
              state.rests = false
              place.resume(context)
              state.context = context
            }
          } catch (error) {
            expect(error).toMatchObject({ name: 'NoRoomError' })
          }
          const awake = [...places.values()].filter(({ rests }) => !rests)
          const taken = [...places.values()].reduce((sum, one) => sum + one.context, 0)
          expect(taken).toBeLessThanOrEqual(SIZE.context)
          expect(new Set([...places.keys()].map(({ sequence }) => sequence)).size).toBe(places.size)
          expect(shard.sessions).toBe(awake.length)
          expect(shard.freeContext).toBe(SIZE.context - awake.reduce((sum, one) => sum + one.context, 0))
        }
      })
    )
  })
})
