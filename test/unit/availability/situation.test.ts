import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { after, SERVING, viewOf, type Situation, type SituationEvent } from '../../../node/availability/situation.js'

const NOW = 1_000_000
const OPEN = { open: true, until: undefined }
const CLOSED = { open: false, until: NOW + 500 }

const observed = (changes: Partial<Extract<SituationEvent, { type: 'observed' }>> = {}): SituationEvent => ({
  type: 'observed',
  now: NOW,
  hours: OPEN,
  busy: false,
  ...changes
})
const PAUSE: SituationEvent = { type: 'pause', until: undefined }
const RESUME: SituationEvent = { type: 'resume' }
const DRAINED: SituationEvent = { type: 'drained' }

const all = (...events: SituationEvent[]): Situation => events.reduce(after, SERVING)

describe('a node that its owner pauses', () => {
  it('drains, is paused, and serves again', () => {
    expect(all(PAUSE).state).toBe('draining')
    expect(all(PAUSE, DRAINED).state).toBe('paused')
    expect(all(PAUSE, DRAINED, RESUME).state).toBe('online')
    expect(all(PAUSE, RESUME).state).toBe('online')
  })

  it('is not paused by a drain that ends after it was resumed', () => {
    expect(all(PAUSE, RESUME, DRAINED).state).toBe('online')
  })

  it('serves again by itself at the end of the pause, and not before', () => {
    const paused = all({ type: 'pause', until: NOW + 10 }, DRAINED)
    expect(viewOf(paused).pauses).toEqual([{ reason: 'owner', until: NOW + 10 }])
    expect(after(paused, observed({ now: NOW + 9 })).state).toBe('paused')
    expect(after(paused, observed({ now: NOW + 10 })).state).toBe('online')
  })

  it('is paused as long as the last word says', () => {
    expect(viewOf(all({ type: 'pause', until: NOW + 10 }, PAUSE)).pauses).toEqual([
      { reason: 'owner', until: undefined }
    ])
  })
})

describe('a node outside of its hours', () => {
  it('is paused until they begin', () => {
    const closed = all(observed({ hours: CLOSED }), DRAINED)
    expect(viewOf(closed)).toEqual({
      state: 'paused',
      pauses: [{ reason: 'schedule', until: CLOSED.until }],
      overruled: []
    })
    expect(after(closed, observed()).state).toBe('online')
  })

  it('stays paused when the owner ends their own pause, and says why', () => {
    const both = all(observed({ hours: CLOSED }), PAUSE, DRAINED)
    expect(viewOf(both).pauses.map(({ reason }) => reason)).toEqual(['owner', 'schedule'])
    expect(viewOf(after(both, RESUME))).toMatchObject({ state: 'paused', pauses: [{ reason: 'schedule' }] })
  })

  it('serves when the owner resumes once more, until the schedule changes', () => {
    const overruled = all(observed({ hours: CLOSED }), PAUSE, DRAINED, RESUME, RESUME)
    expect(viewOf(overruled)).toEqual({
      state: 'online',
      pauses: [],
      overruled: [{ reason: 'schedule', until: CLOSED.until }]
    })
    expect(after(overruled, observed({ hours: CLOSED })).state).toBe('online')
    const opened = after(overruled, observed())
    expect(after(opened, observed({ hours: CLOSED })).state).toBe('draining')
  })

  it('is paused by a new pause whatever was overruled, and by the schedule again after it', () => {
    const paused = all(observed({ hours: CLOSED }), RESUME, PAUSE, DRAINED)
    expect(paused.state).toBe('paused')
    expect(after(paused, RESUME).state).toBe('paused')
  })
})

describe('a node on a busy machine', () => {
  it('is paused while that lasts', () => {
    const busy = all(observed({ busy: true }), DRAINED)
    expect(viewOf(busy).pauses).toEqual([{ reason: 'busy', until: undefined }])
    expect(after(busy, observed()).state).toBe('online')
  })

  it('serves when the owner resumes, until the machine was quiet once', () => {
    const overruled = all(observed({ busy: true }), DRAINED, RESUME)
    expect(after(overruled, observed({ busy: true })).state).toBe('online')
    expect([observed(), observed({ busy: true })].reduce(after, overruled).state).toBe('draining')
  })

  it('is paused by the schedule, too, when only the load was overruled', () => {
    const overruled = all(observed({ busy: true }), RESUME)
    expect(viewOf(after(overruled, observed({ busy: true, hours: CLOSED })))).toMatchObject({
      state: 'draining',
      pauses: [{ reason: 'schedule' }],
      overruled: [{ reason: 'busy' }]
    })
  })
})

const event: fc.Arbitrary<SituationEvent> = fc.oneof(
  fc.record({ type: fc.constant('pause' as const), until: fc.option(fc.nat(100), { nil: undefined }) }),
  fc.constant(RESUME),
  fc.constant(DRAINED),
  fc.record({
    type: fc.constant('observed' as const),
    now: fc.nat(100),
    hours: fc.record({ open: fc.boolean(), until: fc.constant(undefined) }),
    busy: fc.boolean()
  })
)

describe('whatever happens', () => {
  it('a node serves exactly while nothing pauses it, and is paused only once it is drained', () => {
    fc.assert(
      fc.property(fc.array(event), events => {
        let situation = SERVING
        for (const next of events) {
          const before = situation
          situation = after(situation, next)
          const { state, pauses } = viewOf(situation)
          expect(state === 'online').toBe(pauses.length === 0)
          if (state === 'paused' && before.state !== 'paused')
            expect([before.state, next.type]).toEqual(['draining', 'drained'])
        }
      })
    )
  })

  it('a node that leaves does not come back', () => {
    fc.assert(
      fc.property(fc.array(event), fc.array(event), (before, later) => {
        expect(all(...before, { type: 'leave' }, ...later).state).toBe('leaving')
      })
    )
  })

  it('two resumes in a row bring back a node that does not leave', () => {
    fc.assert(
      fc.property(fc.array(event), events => {
        expect(all(...events, RESUME, RESUME).state).toBe('online')
      })
    )
  })
})
