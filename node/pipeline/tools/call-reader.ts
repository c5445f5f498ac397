import type { ToolCall } from '../../engine/types.js'
import { overlap } from '../../overlap.js'

export type WrittenCall = Omit<ToolCall, 'id'>

/** The beginning of a text: so many UTF-16 units with these calls, or with none that anybody understands. */
export interface Reading {
  length: number
  calls: readonly WrittenCall[]
}

/** Knows calls in one form; each answer has a reader of its own. What it says of a text holds however more comes. */
export interface CallReader {
  /** Where a call begins, or what may become one; the length of the text where nothing does. */
  find(text: string): number
  /** What such a text begins with; undefined while that has not ended. */
  read(text: string): Reading | undefined
  /** The calls of such a text at the end of the answer; none: it is text. */
  readLast(text: string): readonly WrittenCall[]
}

/** Where one of these words begins, whole or as far as the text goes; the length of the text where none does. */
export function findWord(text: string, words: readonly string[]): number {
  const whole = words.map(word => text.indexOf(word)).filter(at => at >= 0)
  return Math.min(...whole, ...words.map(word => text.length - overlap(text, word)))
}

/** Calls in JSON, one or a list; none where anything in it is something else. */
export function callsIn(json: string): WrittenCall[] {
  try {
    const value = JSON.parse(json) as unknown
    const calls = (Array.isArray(value) ? value : [value]).map(callOf)
    return calls.every(call => call !== undefined) ? calls : []
  } catch {
    return []
  }
}

function callOf(value: unknown): WrittenCall | undefined {
  const { name, arguments: given, parameters } = (value ?? {}) as Record<string, unknown>
  const values = given ?? parameters ?? {}
  if (typeof name !== 'string' || typeof values !== 'object') return undefined
  return { name, arguments: JSON.stringify(values) }
}
