import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Availability } from '../../../node/availability/availability.js'
import { BUSY_MS, LOOK_MS, PAUSE_DRAIN_MS, QUIET_MS, RESTORE_RETRY_MS } from '../../../node/availability/constants.js'
import type { HoursRule } from '../../../node/availability/schedule.js'

/** A Thursday, on the clock of this place. */
const START = new Date(2026, 10, 26, 12).getTime()

beforeEach(() => {
  vi.useFakeTimers({ now: START })
})

afterEach(() => {
  vi.useRealTimers()
})

interface BenchOptions {
  hours?: HoursRule[]
  /** The part of the machine that others use. */
  load?: { share: number | undefined }
}

/** A node whose parts say what they are asked to do. */
function bench({ hours = [], load }: BenchOptions = {}) {
  const log: string[] = []
  const sessions = { left: 0, ended: Promise.withResolvers<undefined>() }
  const engine = {
    state: 'ready' as 'ready' | 'stopped',
    broken: false,
    start: () => {
      log.push('start')
      if (engine.broken) return Promise.reject(new Error('out of memory'))
      engine.state = 'ready'
      return Promise.resolve({ backend: 'cpu' as const, version: '', devices: [] })
    },
    stop: () => {
      log.push('stop')
      engine.state = 'stopped'
      return Promise.resolve()
    }
  }
  const host = {
    drain: async ({ deadlineMs, why, signal }: { deadlineMs: number; why?: string; signal?: AbortSignal }) => {
      log.push(`drain: ${why}`)
      if (sessions.left === 0) return { left: 0 }
      const late = new Promise(resolve => setTimeout(resolve, deadlineMs))
      const aborted = new Promise(resolve => signal?.addEventListener('abort', resolve))
      await Promise.race([sessions.ended.promise, late, aborted])
      return { left: sessions.left }
    },
    evict: () => {
      log.push('evict')
      sessions.left = 0
    },
    reopen: () => void log.push('reopen')
  }
  const holdings = {
    suspend: () => Promise.resolve(void log.push('suspend')),
    restore: () => void log.push('restore')
  }
  const warn = vi.fn()
  const availability = new Availability(
    {
      ...{ host, holdings, engine },
      now: Date.now,
      logger: { info: () => undefined, warn },
      load: load && { measure: () => Promise.resolve(load.share) }
    },
    { hours }
  )
  const end = (): void => {
    sessions.left = 0
    sessions.ended.resolve(undefined)
  }
  return { availability, log, engine, sessions, end, warn }
}

const settled = (): Promise<unknown> => vi.advanceTimersByTimeAsync(0)
const PAUSING = ['drain: this node is paused by its owner', 'suspend', 'stop']
const SERVING = ['start', 'reopen', 'restore']

describe('Availability', () => {
  it('gives the memory back once the sessions are over, and takes it again', async () => {
    const { availability, log, sessions, end } = bench()
    const states: string[] = []
    availability.addEventListener('change', () => states.push(availability.state))
    sessions.left = 1
    availability.pause()
    await settled()
    expect([availability.state, log]).toEqual(['draining', PAUSING.slice(0, 1)])
    end()
    await settled()
    expect([availability.state, log.splice(0)]).toEqual(['paused', PAUSING])
    availability.resume()
    await settled()
    expect([availability.state, log]).toEqual(['online', SERVING])
    expect(states).toEqual(['draining', 'paused', 'online'])
  })

  it('ends sessions that have not left in time', async () => {
    const { availability, log, sessions } = bench()
    sessions.left = 1
    availability.pause()
    await vi.advanceTimersByTimeAsync(PAUSE_DRAIN_MS - 1)
    expect(availability.state).toBe('draining')
    await vi.advanceTimersByTimeAsync(1)
    expect([availability.state, log]).toEqual(['paused', [PAUSING[0], 'evict', ...PAUSING.slice(1)]])
  })

  it('gives nothing back when it is resumed while it drains', async () => {
    const { availability, log, sessions } = bench()
    sessions.left = 1
    availability.pause()
    await settled()
    availability.resume()
    await settled()
    expect([availability.state, log]).toEqual(['online', [PAUSING[0], 'reopen', 'restore']])
  })

  it('follows the last word, however fast they come', async () => {
    const { availability, log } = bench()
    for (let n = 0; n < 3; n++) {
      availability.pause()
      availability.resume()
    }
    availability.pause()
    await settled()
    expect([availability.state, log.slice(-2)]).toEqual(['paused', ['suspend', 'stop']])
    availability.resume()
    availability.pause()
    availability.resume()
    await settled()
    expect([availability.state, log.slice(-3)]).toEqual(['online', SERVING])
  })

  it('serves again by itself when the time that the owner said is over', async () => {
    const { availability } = bench()
    availability.start()
    availability.pause(60_000)
    await settled()
    expect(availability.view.pauses).toEqual([{ reason: 'owner', until: START + 60_000 }])
    await vi.advanceTimersByTimeAsync(60_000 - LOOK_MS)
    expect(availability.state).toBe('paused')
    await vi.advanceTimersByTimeAsync(LOOK_MS)
    expect(availability.state).toBe('online')
    availability.stop()
    expect(vi.getTimerCount()).toBe(0)
  })

  it('does not serve when it starts outside of its hours, and does when they begin', async () => {
    const opening = START + 3_600_000
    const { availability, log } = bench({ hours: [{ days: [4], start: 13 * 60, end: 14 * 60 }] })
    availability.start()
    await settled()
    expect(availability.view).toEqual({
      state: 'paused',
      pauses: [{ reason: 'schedule', until: opening }],
      overruled: []
    })
    expect(log.splice(0)).toEqual(PAUSING)
    await vi.advanceTimersByTimeAsync(3_600_000)
    expect([availability.state, log.splice(0)]).toEqual(['online', SERVING])
    await vi.advanceTimersByTimeAsync(3_600_000)
    expect([availability.state, log]).toEqual(['paused', PAUSING])
    availability.stop()
  })

  it('yields to others and comes back when they are done', async () => {
    const load = { share: 0.9 }
    const { availability } = bench({ load })
    availability.start()
    await vi.advanceTimersByTimeAsync(BUSY_MS + LOOK_MS)
    expect(availability.view).toMatchObject({ state: 'paused', pauses: [{ reason: 'busy', until: undefined }] })
    load.share = 0.1
    await vi.advanceTimersByTimeAsync(QUIET_MS)
    expect(availability.state).toBe('paused')
    await vi.advanceTimersByTimeAsync(LOOK_MS)
    expect(availability.state).toBe('online')
    availability.stop()
  })

  it('tries an engine again that has not enough memory after a pause, and gives up when it is paused', async () => {
    const { availability, log, engine, warn } = bench()
    availability.pause()
    await settled()
    engine.broken = true
    availability.resume()
    await vi.advanceTimersByTimeAsync(RESTORE_RETRY_MS)
    expect(log.splice(0)).toEqual([...PAUSING, 'start', 'start'])
    expect(warn.mock.lastCall?.[0]).toEqual({ reason: 'out of memory' })
    availability.pause()
    await vi.advanceTimersByTimeAsync(2 * RESTORE_RETRY_MS)
    expect([availability.state, log.splice(0)]).toEqual(['paused', PAUSING])
    engine.broken = false
    availability.resume()
    await settled()
    expect(log).toEqual(SERVING)
  })
})

describe('Availability that leaves', () => {
  it('waits for the sessions', async () => {
    const { availability, log, sessions, end } = bench()
    sessions.left = 1
    const left = availability.leave({ deadlineMs: 60_000 })
    await settled()
    expect([availability.state, log]).toEqual(['leaving', ['drain: this node is shutting down']])
    end()
    await left
    expect(vi.getTimerCount()).toBeLessThanOrEqual(1) // the bench's own
  })

  it.each([1_000, 0])('waits for them for %i ms at the most', async deadlineMs => {
    const { availability, sessions } = bench()
    sessions.left = 1
    const left = availability.leave({ deadlineMs })
    await vi.advanceTimersByTimeAsync(deadlineMs)
    await left
    expect(sessions.left).toBe(1)
  })

  it('waits for the shorter time when it is told twice', async () => {
    const { availability, sessions } = bench()
    sessions.left = 1
    const patient = availability.leave({ deadlineMs: 60_000 })
    const hasty = availability.leave({ deadlineMs: 0 })
    await settled()
    await Promise.all([patient, hasty])
    expect(sessions.left).toBe(1)
  })

  it('is not kept by what hangs, nor brought back by a word', async () => {
    const { availability, engine } = bench()
    engine.stop = () => new Promise(() => undefined)
    availability.pause()
    await settled()
    const left = availability.leave({ deadlineMs: 1_000 })
    availability.resume()
    await vi.advanceTimersByTimeAsync(1_000)
    await left
    expect(availability.state).toBe('leaving')
  })
})
