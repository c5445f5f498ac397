import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { hoursAt, parseHours, type HoursRule } from '../../../node/availability/schedule.js'

const HOUR = 3_600_000
const DAY = 24 * HOUR

function rules(...texts: string[]): HoursRule[] {
  return texts.map(text => {
    const rule = parseHours(text)
    if (rule === undefined) throw new Error(`${text} are no hours`)
    return rule
  })
}

/** `2026-11-26 14:30`, on the clock of this place. */
function local(text: string): Date {
  return new Date(text.replace(' ', 'T'))
}

function at(hours: readonly HoursRule[], text: string): string {
  const { open, until } = hoursAt(hours, local(text))
  const end = until === undefined ? 'for ever' : new Date(until).toString().slice(0, 21)
  return `${open ? 'open' : 'closed'} until ${end}`
}

/** Runs the tests within it in a time zone. */
function inZone(zone: string): void {
  const before = process.env['TZ']
  beforeAll(() => {
    process.env['TZ'] = zone
  })
  afterAll(() => {
    if (before === undefined) delete process.env['TZ']
    else process.env['TZ'] = before
  })
}

describe('hours', () => {
  it.each([
    ['22:00-07:00', { days: [0, 1, 2, 3, 4, 5, 6], start: 1320, end: 1860 }],
    ['sat-sun 00:00-24:00', { days: [6, 0], start: 0, end: 1440 }],
    ['Mon-FRI  9:05 - 17:30', { days: [1, 2, 3, 4, 5], start: 545, end: 1050 }],
    ['fri 23:00-00:00', { days: [5], start: 1380, end: 1440 }]
  ])('%s are read', (text, rule) => {
    expect(parseHours(text)).toEqual(rule)
  })

  it.each(['', 'always', '22:00', '22:00-25:00', '22:60-23:00', '10:00-10:00', '24:00-10:00', 'day 10:00-12:00'])(
    '%j are none',
    text => {
      expect(parseHours(text)).toBeUndefined()
    }
  )
})

describe('a schedule', () => {
  inZone('Europe/Berlin')

  it('of no hours is always open', () => {
    expect(at([], '2026-11-26 12:00')).toBe('open until for ever')
  })

  it.each([
    ['2026-11-26 21:59', 'closed until Thu Nov 26 2026 22:00'],
    ['2026-11-26 22:00', 'open until Fri Nov 27 2026 07:00'],
    ['2026-11-27 06:59', 'open until Fri Nov 27 2026 07:00'],
    ['2026-11-27 07:00', 'closed until Fri Nov 27 2026 22:00']
  ])('of nights is, on %s, %s', (time, expected) => {
    expect(at(rules('22:00-07:00'), time)).toBe(expected)
  })

  it.each([
    ['2026-11-27 16:00', 'closed until Fri Nov 27 2026 22:00'],
    ['2026-11-27 23:00', 'open until Mon Nov 30 2026 07:00'],
    ['2026-11-29 12:00', 'open until Mon Nov 30 2026 07:00']
  ])('of nights and weekends is, on %s, %s', (time, expected) => {
    expect(at(rules('22:00-07:00', 'sat-sun 00:00-24:00'), time)).toBe(expected)
  })

  it('that leaves no gap is open for ever, however it is written', () => {
    expect(at(rules('00:00-24:00'), '2026-11-26 12:00')).toBe('open until for ever')
    expect(at(rules('08:00-20:00', '20:00-08:00'), '2026-11-26 12:00')).toBe('open until for ever')
  })

  it('of one day a week waits for it', () => {
    expect(at(rules('wed 10:00-12:00'), '2026-11-25 12:00')).toBe('closed until Wed Dec 02 2026 10:00')
  })

  describe('where clocks go forward, at 2:00 on 2026-03-29', () => {
    it('closes after one hour less', () => {
      const { until } = hoursAt(rules('22:00-07:00'), local('2026-03-28 22:00'))
      expect((until ?? 0) - local('2026-03-28 22:00').getTime()).toBe(8 * HOUR)
    })

    it('reads a time that is skipped by the clock of before', () => {
      expect(at(rules('02:30-06:00'), '2026-03-29 01:59')).toBe('closed until Sun Mar 29 2026 03:30')
    })

    it('goes on to the next day where the whole time is skipped', () => {
      expect(at(rules('02:30-03:15'), '2026-03-29 01:00')).toBe('closed until Mon Mar 30 2026 02:30')
    })
  })

  describe('where clocks go back, at 3:00 on 2026-10-25', () => {
    it('opens once for an hour that comes twice, and stays open', () => {
      const opening = local('2026-10-25 02:30')
      const { open, until } = hoursAt(rules('02:30-06:00'), new Date(opening.getTime() + HOUR))
      expect(open).toBe(true)
      expect((until ?? 0) - opening.getTime()).toBe(4.5 * HOUR)
    })

    it('is open on a day of 25 hours', () => {
      const { until } = hoursAt(rules('sun 00:00-24:00'), local('2026-10-25 00:00'))
      expect((until ?? 0) - local('2026-10-25 00:00').getTime()).toBe(25 * HOUR)
    })
  })
})

const rule: fc.Arbitrary<HoursRule> = fc
  .record({
    days: fc.uniqueArray(fc.integer({ min: 0, max: 6 }), { minLength: 1 }),
    start: fc.integer({ min: 0, max: 1439 }),
    length: fc.integer({ min: 1, max: 1440 })
  })
  .map(({ days, start, length }) => ({ days, start, end: start + length }))
/** Over two years, and so over four changes of the clock. */
const moment = fc.integer({ min: Date.UTC(2026, 0, 1), max: Date.UTC(2028, 0, 1) }).map(time => new Date(time))

describe.each(['UTC', 'Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe'])('any schedule in %s', zone => {
  inZone(zone)

  it('changes at the moment that it names, and not before', () => {
    fc.assert(
      fc.property(
        fc.array(rule, { minLength: 1, maxLength: 4 }),
        moment,
        fc.double({ min: 0, max: 1, noNaN: true }),
        (hours, now, part) => {
          const { open, until } = hoursAt(hours, now)
          const end = until ?? now.getTime() + 7 * DAY
          expect(end).toBeGreaterThan(now.getTime())
          const between = new Date(Math.min(end - 1, now.getTime() + Math.floor(part * (end - now.getTime()))))
          expect(hoursAt(hours, between)).toEqual({ open, until })
          if (until !== undefined) expect(hoursAt(hours, new Date(until)).open).toBe(!open)
        }
      )
    )
  })

  it('is what the clock says on a day without a change', () => {
    fc.assert(
      fc.property(fc.array(rule, { minLength: 1, maxLength: 4 }), moment, (hours, now) => {
        const offsets = [-2, -1, 0, 1].map(days => new Date(now.getTime() + days * DAY).getTimezoneOffset())
        fc.pre(new Set(offsets).size === 1)
        const minute = now.getHours() * 60 + now.getMinutes()
        const [today, yesterday] = [now.getDay(), (now.getDay() + 6) % 7]
        const covers = ({ days, start, end }: HoursRule): boolean =>
          (days.includes(today) && start <= minute && minute < end) || (days.includes(yesterday) && minute + 1440 < end)
        expect(hoursAt(hours, now).open).toBe(hours.some(covers))
      })
    )
  })
})
