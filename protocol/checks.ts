import { HASH_BYTES, MAX_PEER_ID_CHARACTERS, MAX_ADDRESSES, MAX_ADDRESS_BYTES } from './limits.js'
import { fromHex, toHex } from './bytes.js'
import { ProtocolError } from './protocol-error.js'

const CONTROL = /\p{Cc}/u
const CONTROLS = /\p{Cc}+/gu
const PEER_ID = new RegExp(`^[0-9A-Za-z]{1,${MAX_PEER_ID_CHARACTERS}}$`)

export interface Bounds {
  min: number
  max: number
}

/** An integer within bounds, both included. */
export function integer(what: string, value: number, { min, max }: Bounds): number {
  if (!Number.isSafeInteger(value) || value < min) throw malformed(`${what} is ${value}, not an integer from ${min}`)
  if (value > max) throw tooLarge(`${what} is ${value}, the most is ${max}`)
  return value
}

/** A finite number within bounds, both included. */
export function finite(what: string, value: number, { min, max }: Bounds): number {
  if (!Number.isFinite(value)) throw new ProtocolError('NOT_FINITE', `${what} is ${value}`)
  if (value < min || value > max) throw malformed(`${what} is ${value}, not within ${min} to ${max}`)
  return value
}

/** A list of at most `max` entries. */
export function list<T>(what: string, values: readonly T[], max: number): readonly T[] {
  if (values.length > max) throw tooLarge(`${values.length} ${what}, the most are ${max}`)
  return values
}

/** Text of at most `maxBytes` of UTF-8 without control characters, since it may meet a terminal. */
export function text(what: string, value: string, maxBytes: number): string {
  if (Buffer.byteLength(value) > maxBytes) throw tooLarge(`${what} is longer than ${maxBytes} bytes`)
  if (CONTROL.test(value)) throw malformed(`${what} has control characters`)
  return value
}

/** As `text`, and not empty. */
export function someText(what: string, value: string, maxBytes: number): string {
  if (value === '') throw malformed(`${what} is empty`)
  return text(what, value, maxBytes)
}

/** A message for people, made fit to show: control characters become spaces, the rest is cut at `maxBytes`. */
export function readable(value: string, maxBytes: number): string {
  const clean = value.slice(0, maxBytes).replace(CONTROLS, ' ')
  return Buffer.byteLength(clean) <= maxBytes ? clean : cutUtf8(clean, maxBytes)
}

function cutUtf8(value: string, maxBytes: number): string {
  const bytes = Buffer.from(value)
  let end = maxBytes
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end--
  return bytes.subarray(0, end).toString()
}

/** Exactly `length` bytes. */
export function exactBytes(what: string, value: Uint8Array, length: number): Uint8Array {
  if (value.length !== length) throw malformed(`${what} has ${value.length} bytes instead of ${length}`)
  return value
}

/** Hex of exactly `length` bytes from the wire. */
export function hexOf(what: string, value: Uint8Array, length: number = HASH_BYTES): string {
  return toHex(exactBytes(what, value, length))
}

/** Bytes of a lower-case hex string of exactly `length` bytes. */
export function bytesOf(what: string, hex: string, length: number = HASH_BYTES): Uint8Array {
  if (hex.length !== 2 * length || !/^[0-9a-f]*$/.test(hex)) throw malformed(`${what} is not ${length} bytes in hex`)
  return fromHex(hex)
}

/** The text form of a peer id; whether it is one is libp2p's to say. */
export function peerId(what: string, value: string): string {
  if (!PEER_ID.test(value)) throw malformed(`${what} is not a peer id`)
  return value
}

/** Multiaddrs as text, bounded; whether they parse is libp2p's to say. */
export function addressList(what: string, values: readonly string[]): string[] {
  return list(`${what} addresses`, values, MAX_ADDRESSES).map(value =>
    someText(`an address of ${what}`, value, MAX_ADDRESS_BYTES)
  )
}

/** Layers before which a model may be cut: ascending, within (0, layers). */
export function cutList(cuts: readonly number[], layers: number): number[] {
  let before = 0
  for (const cut of cuts) {
    if (!(cut > before && cut < layers)) throw malformed(`cut ${cut} after ${before} in a model of ${layers} layers`)
    before = integer('a cut', cut, { min: 1, max: layers - 1 })
  }
  return [...cuts]
}

/** Layers `[start, end)` of a model. */
export function layerRange(what: string, start: number, end: number, layers: number): { start: number; end: number } {
  integer(`${what}'s end`, end, { min: 1, max: layers })
  integer(`${what}'s start`, start, { min: 0, max: layers })
  if (start >= end) throw malformed(`${what} of layers ${start} to ${end}`)
  return { start, end }
}

export function malformed(message: string): ProtocolError {
  return new ProtocolError('MALFORMED', message)
}

export function tooLarge(message: string): ProtocolError {
  return new ProtocolError('TOO_LARGE', message)
}
