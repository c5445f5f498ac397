import { deserialize, serialize } from 'node:v8'

/** A value as bytes between two processes of this program on one machine; `decode` may return views of its input. */
export interface Codec<T> {
  encode(value: T): Uint8Array[]
  decode(bytes: Uint8Array): T
}

/** Whatever the structured clone algorithm takes. Values are not looked at: both ends are compiled from the same types. */
export const STRUCTURED: Codec<never> & Codec<unknown> = {
  encode: value => [serialize(value)],
  decode: bytes => deserialize(bytes) as never
}
