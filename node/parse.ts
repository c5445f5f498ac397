import type { LayerRange } from './models/types.js'

const BYTE_UNITS: Readonly<Record<string, number>> = {
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40
}

/** What `parseBytes` takes, for error messages. */
export const BYTES_ALLOWED = 'a size such as 4GiB, 512MiB or 8GB'

/** What `parseDuration` takes, for error messages. */
export const DURATION_ALLOWED = 'a time such as 90s, 45m, 2h or 1h30m'

/** What `parseLayerRange` takes, for error messages. */
export const LAYERS_ALLOWED = 'a range of layers such as 0-8, meaning layers 0 to 7'

/** No model has more layers; keeps numbers from outside small. */
const MAX_LAYERS = 65_536

/** `4GiB` → bytes. Units are powers of 1024 with an `i`, of 1000 without; a bare number is bytes. Undefined if it is neither. */
export function parseBytes(text: string): number | undefined {
  const match = /^(\d{1,15}(?:\.\d{1,6})?)\s*([kmgt]?i?b)?$/i.exec(text.trim())
  if (match === null) return undefined
  const bytes = Math.floor(Number(match[1]) * (BYTE_UNITS[(match[2] ?? 'b').toLowerCase()] ?? NaN))
  return Number.isSafeInteger(bytes) && bytes > 0 ? bytes : undefined
}

/** `1h30m` → seconds. Undefined if it is no time, or none at all. */
export function parseDuration(text: string): number | undefined {
  const match = /^(?:(\d{1,4})d)?(?:(\d{1,4})h)?(?:(\d{1,6})m(?:in)?)?(?:(\d{1,8})s)?$/i.exec(text.trim())
  const [days = 0, hours = 0, minutes = 0, seconds = 0] = match?.slice(1).map(part => Number(part)) ?? []
  const total = [days * 86_400, hours * 3_600, minutes * 60, seconds].reduce((sum, part) => sum + (part || 0), 0)
  return total > 0 ? total : undefined
}

/** `0-8` → the half-open range `[0, 8)`, as everywhere in this project. Undefined if it is not a range or empty. */
export function parseLayerRange(text: string): LayerRange | undefined {
  const match = /^(\d{1,5})-(\d{1,5})$/.exec(text.trim())
  if (match === null) return undefined
  const [start, end] = [Number(match[1]), Number(match[2])]
  return start < end && end <= MAX_LAYERS ? { start, end } : undefined
}

/** `127.0.0.1:8080` or `[::1]:8080` → host, without brackets, and port. Undefined if it is neither. */
export function parseHostPort(text: string): { host: string; port: number } | undefined {
  const match = /^(?:\[([0-9a-f:.]{2,45})\]|([a-z0-9.-]{1,253})):(\d{1,5})$/i.exec(text.trim())
  const [host, port] = [match?.[1] ?? match?.[2], Number(match?.[3])]
  return host === undefined || port > 65_535 ? undefined : { host, port }
}

/** `2,5` → `[2, 5]`: strictly ascending layers, each above 0. Undefined if it is anything else. */
export function parseCuts(text: string): number[] | undefined {
  const parts = text.split(',').map(part => part.trim())
  if (!parts.every(part => /^\d{1,5}$/.test(part))) return undefined
  const cuts = parts.map(Number)
  const ascending = cuts.every((cut, index) => cut > (cuts[index - 1] ?? 0) && cut < MAX_LAYERS)
  return ascending ? cuts : undefined
}

/** The candidate that takes the fewest edits to get from `text`, if it takes at most a third of its length and two more. */
export function nearest(text: string, candidates: readonly string[]): string | undefined {
  let best: string | undefined
  let fewest = Math.floor(text.length / 3) + 3
  for (const candidate of candidates) {
    const edits = editDistance(text, candidate)
    if (edits < fewest) [best, fewest] = [candidate, edits]
  }
  return best
}

/** The longest text that is compared: the distance costs the product of both lengths. */
const MAX_COMPARED = 64

/** Levenshtein's distance. */
function editDistance(left: string, right: string): number {
  const a = left.slice(0, MAX_COMPARED)
  const b = right.slice(0, MAX_COMPARED)
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 0; i < a.length; i++) {
    const next = [i + 1]
    for (let j = 0; j < b.length; j++) {
      const replace = (row[j] ?? 0) + (a[i] === b[j] ? 0 : 1)
      next.push(Math.min(replace, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1))
    }
    row = next
  }
  return row.at(-1) ?? 0
}
