interface Range {
  start: number
  end: number
}

const BINARY_UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']

/** `1.5 GiB`. */
export function bytes(count: number): string {
  let value = count
  let unit = 0
  while (value >= 1024 && unit < BINARY_UNITS.length - 1) {
    value /= 1024
    unit++
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${BINARY_UNITS[unit] ?? ''}`
}

/** `0.42 ms`, `12.3 ms`, `1.25 s`; `-` where it is not known. */
export function milliseconds(value: number | undefined): string {
  if (value === undefined || !Number.isFinite(value)) return '-'
  if (value >= 1000) return `${(value / 1000).toFixed(2)} s`
  return `${value.toFixed(value < 10 ? 2 : 1)} ms`
}

/** `42 s`, `3 min 5 s`, `2 h 10 min`, `4 d 3 h`. */
export function duration(seconds: number): string {
  const whole = Math.floor(seconds)
  const parts: [number, string][] = [
    [Math.floor(whole / 86_400), 'd'],
    [Math.floor(whole / 3600) % 24, 'h'],
    [Math.floor(whole / 60) % 60, 'min'],
    [whole % 60, 's']
  ]
  const first = parts.findIndex(([value]) => value > 0)
  if (first === -1) return '0 s'
  const shown = parts.slice(first, first + 2).filter(([value]) => value > 0)
  return shown.map(([value, unit]) => `${value} ${unit}`).join(' ')
}

const WEEKDAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat']
const WEEK_MS = 7 * 86_400_000

/** In local time: `14:30` today, `Fri 14:30` within a week, `2026-12-03 14:30` otherwise. */
export function moment(at: Date, now: Date): string {
  const two = (number: number): string => String(number).padStart(2, '0')
  const time = `${two(at.getHours())}:${two(at.getMinutes())}`
  if (at.toDateString() === now.toDateString()) return time
  if (Math.abs(at.getTime() - now.getTime()) < WEEK_MS) return `${WEEKDAYS[at.getDay()] ?? ''} ${time}`
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${time}`
}

/** Half open, as `--layers` takes it: `0-8` is layers 0 to 7. */
export function layerRange({ start, end }: Range): string {
  return `${start}-${end}`
}

export function layerRanges(ranges: readonly Range[]): string {
  return ranges.length === 0 ? '-' : ranges.map(layerRange).join(', ')
}

export function percent(fraction: number): string {
  return `${Math.round(fraction * 100)} %`
}

/** `2 peers`, `1 peer`. */
export function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`
}

/** The end of a peer id: its start is the same for everybody. */
export function shortPeer(peer: string): string {
  return peer.length <= 8 ? peer : `…${peer.slice(-8)}`
}

/** The start of a hash. */
export function shortHash(hash: string): string {
  return hash.slice(0, 12)
}

/** Names and errors come from strangers: nothing in them may move the cursor or colour the terminal. */
export function printable(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}]/gu, '�')
}

/** As `printable`, for answers: lines and tabs stay, and the joiners that scripts and emoji need. */
export function printableText(text: string): string {
  return text.replaceAll(/(?![\n\r\t])\p{Cc}/gu, '�')
}

/** Where a model of `layers` layers may be cut. */
export function cutsText(cuts: readonly number[], layers: number): string {
  const [first] = cuts
  if (first === undefined) return 'not to be cut'
  if (cuts.length === layers - 1) return 'to be cut between any two'
  const regular = cuts.every((cut, index) => cut === first * (index + 1)) && cuts.length > 1
  return regular ? `to be cut every ${first} layers` : `to be cut before ${cuts.join(', ')}`
}

/** As it has to be typed. */
export function shellWord(text: string): string {
  return /^[\w./:@%+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
}
