import { tooLarge } from './checks.js'
import { flambeau } from './generated/messages.js'
import { encodeStep, type Step } from './step.js'

const LENGTH_DELIMITED = 2
/** Field 6 of a step. */
const PAYLOAD_TAG = 6 * 8 + LENGTH_DELIMITED

/**
 * The bytes of a message whose only field is a step: the same that the generated encoder writes, but the payload is
 * copied once instead of four times.
 *
 * @param field - number of the step's field, below 16
 * @throws ProtocolError - when a value is outside the limits
 */
export function encodeStepFrame(field: number, step: Step, maxBytes: number): Uint8Array {
  const { want, timings, replay, payload, ...start } = encodeStep(step)
  const before = flambeau.Step.encode(start).finish()
  const after = flambeau.Step.encode({ want, timings, replay }).finish()
  const inner = before.length + 1 + varintBytes(payload.length) + payload.length + after.length
  const total = 1 + varintBytes(inner) + inner
  if (total > maxBytes) throw tooLarge(`a step of ${total} bytes, the most are ${maxBytes}`)
  const frame = Buffer.allocUnsafe(total)
  let at = putField(frame, 0, field * 8 + LENGTH_DELIMITED, inner)
  frame.set(before, at)
  at = putField(frame, at + before.length, PAYLOAD_TAG, payload.length)
  frame.set(payload, at)
  frame.set(after, at + payload.length)
  return frame
}

/** Writes a one-byte tag and a length at `at`; returns where the content goes. */
function putField(frame: Uint8Array, at: number, tag: number, length: number): number {
  frame[at++] = tag
  for (; length > 127; length >>>= 7) frame[at++] = (length & 127) | 128
  frame[at++] = length
  return at
}

function varintBytes(value: number): number {
  return value < 2 ** 7 ? 1 : value < 2 ** 14 ? 2 : value < 2 ** 21 ? 3 : 4
}
