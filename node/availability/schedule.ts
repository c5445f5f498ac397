/** The hours in which a node serves, in local time. Pure. */
import type { Hours } from './situation.js'

/** One entry of `schedule.hours`. */
export interface HoursRule {
  /** Days of the week on which it begins, 0 is Sunday. */
  days: readonly number[]
  /** Minutes after midnight; the end is above the start, and beyond 1440 where it is on the next day. */
  start: number
  end: number
}

/** What `parseHours` takes, for error messages. */
export const HOURS_ALLOWED = 'a list of hours such as 22:00-07:00 or sat-sun 00:00-24:00'

const DAY_NAMES = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat']
const DAYS = DAY_NAMES.length
const DAY_MINUTES = 24 * 60
/** Days that are looked ahead: a week, and another where a change of the clock swallows the hours of one. */
const HORIZON_DAYS = 15
/** Hours that are open for longer than a week never close. */
const LONGEST_MS = (DAYS + 1) * 86_400_000

/** `22:00-07:00`, `sat 10:00-18:00`, `mon-fri 18:00-24:00`; days are those on which it begins. Undefined if it is none. */
export function parseHours(text: string): HoursRule | undefined {
  const [, first, last, from = '', to = ''] =
    /^(?:([a-z]{3})(?:-([a-z]{3}))?\s+)?(\d\d?:\d\d)\s*-\s*(\d\d?:\d\d)$/.exec(text.trim().toLowerCase()) ?? []
  const days = first === undefined ? DAY_NAMES.map((_, day) => day) : daysBetween(first, last ?? first)
  const [start, end] = [minutesOf(from), minutesOf(to)]
  if (days === undefined || start === undefined || end === undefined) return undefined
  if (start === end || start === DAY_MINUTES) return undefined
  return { days, start, end: end > start ? end : end + DAY_MINUTES }
}

function daysBetween(first: string, last: string): number[] | undefined {
  const [from, to] = [DAY_NAMES.indexOf(first), DAY_NAMES.indexOf(last)]
  if (from === -1 || to === -1) return undefined
  const length = ((to - from + DAYS) % DAYS) + 1
  return Array.from({ length }, (_, i) => (from + i) % DAYS)
}

/** Of `7:30`, up to and with `24:00`. */
function minutesOf(text: string): number | undefined {
  const [hours = NaN, minutes = NaN] = text.split(':').map(Number)
  const total = hours * 60 + minutes
  return minutes < 60 && total <= DAY_MINUTES ? total : undefined
}

/** Whether the hours are open at `now`, and when that changes. No rules: always open. */
export function hoursAt(rules: readonly HoursRule[], now: Date): Hours {
  if (rules.length === 0) return { open: true, until: undefined }
  const at = now.getTime()
  const windows = merged(windowsAround(rules, now))
  const current = windows.find(({ start, end }) => start <= at && at < end)
  if (current !== undefined) return { open: true, until: current.end - at > LONGEST_MS ? undefined : current.end }
  return { open: false, until: windows.find(({ start }) => start > at)?.start }
}

/** Milliseconds since 1970, half open. */
interface Window {
  start: number
  end: number
}

/**
 * Made of moments, not of what the clock shows: where clocks go back, an hour that comes twice opens once, and where they
 * go forward, a time that is skipped is read by the clock of before (2:30 is 3:30 then).
 */
function windowsAround(rules: readonly HoursRule[], now: Date): Window[] {
  const [year, month, today] = [now.getFullYear(), now.getMonth(), now.getDate()]
  const windows: Window[] = []
  for (let day = today - 1; day <= today + HORIZON_DAYS; day++) {
    const weekday = new Date(year, month, day, 12).getDay()
    for (const { days, start, end } of rules) {
      if (!days.includes(weekday)) continue
      const moment = (minutes: number): number => new Date(year, month, day, 0, minutes).getTime()
      windows.push({ start: moment(start), end: moment(end) })
    }
  }
  return windows.filter(({ start, end }) => start < end)
}

/** In order, and those that touch as one. */
function merged(windows: Window[]): Window[] {
  const all: Window[] = []
  for (const window of windows.sort((a, b) => a.start - b.start)) {
    const last = all.at(-1)
    if (last === undefined || window.start > last.end) all.push({ ...window })
    else last.end = Math.max(last.end, window.end)
  }
  return all
}
