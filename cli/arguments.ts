import { statSync } from 'node:fs'
import { resolve } from 'node:path'
import { InvalidArgumentError } from 'commander'
import type { LayerRange } from '../node/models/types.js'
import { DURATION_ALLOWED, LAYERS_ALLOWED, parseCuts, parseDuration, parseLayerRange } from '../node/parse.js'
import { someText } from '../protocol/checks.js'
import { MAX_NAME_BYTES } from '../protocol/limits.js'
import { CliError } from './errors.js'

interface Bounds {
  minimum: number
  maximum: number
}

/** A parser for an option's number, whole or not. */
export function numberBetween({ minimum, maximum }: Bounds, { whole = false } = {}): (text: string) => number {
  return text => {
    const value = text.trim() === '' ? NaN : Number(text)
    const fits = value >= minimum && value <= maximum && (!whole || Number.isInteger(value))
    if (fits) return value
    throw new InvalidArgumentError(`Must be a ${whole ? 'whole ' : ''}number from ${minimum} to ${maximum}.`)
  }
}

export function wholeBetween(minimum: number, maximum: number): (text: string) => number {
  return numberBetween({ minimum, maximum }, { whole: true })
}

/** A parser for an option's time, in seconds. */
export function durationUpTo(maximum: number): (text: string) => number {
  return text => {
    const seconds = parseDuration(text)
    if (seconds !== undefined && seconds <= maximum) return seconds
    throw new InvalidArgumentError(`Must be ${DURATION_ALLOWED}, and at most ${Math.floor(maximum / 3_600)}h.`)
  }
}

export function layersArgument(text: string): LayerRange {
  const range = parseLayerRange(text)
  if (range !== undefined) return range
  throw new InvalidArgumentError(`Must be ${LAYERS_ALLOWED}.`)
}

export function cutsArgument(text: string): number[] {
  const cuts = parseCuts(text)
  if (cuts !== undefined) return cuts
  throw new InvalidArgumentError('Must be layers in ascending order such as 2,5: the model is cut before each.')
}

/** What a swarm or a model is called: others read it. */
export function nameArgument(text: string): string {
  try {
    return someText('name', text.trim(), MAX_NAME_BYTES)
  } catch {
    throw new InvalidArgumentError(`Must have 1 to ${MAX_NAME_BYTES} bytes, and no control characters.`)
  }
}

/** For options that may come several times and mean nothing when empty. */
export function collectedText(text: string, before: readonly string[] = []): string[] {
  if (text === '') throw new InvalidArgumentError('Needs at least one character.')
  return collected(text, before)
}

/** For options that may come several times. */
export function collected(text: string, before: readonly string[] = []): string[] {
  return [...before, text]
}

/** The absolute path: the daemon's working folder is another one. */
export function existingFile(path: string): string {
  const file = resolve(path)
  if (statSync(file, { throwIfNoEntry: false })?.isFile()) return file
  throw new CliError('NO_FILE', `${file} is not a file.`, { details: { file } })
}
