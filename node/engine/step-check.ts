import { EngineError } from './errors.js'
import type { EngineStep, LoadedShard } from './types.js'

/** More tokens than this are not asked for by id in one step: a penalty window and some tools' tokens fit many times. */
export const MAX_ASKED_IDS = 4096

/** What a shard is, for checking steps against it. */
export interface ShardShape extends LoadedShard {
  start: number
  end: number
  layers: number
}

export function wantsEmbedding({ want }: Pick<EngineStep, 'want'>): boolean {
  return want.embedding === true
}

export const BYTES_PER_ELEMENT = { f32: 4, f16: 2 } as const

/**
 * Everything about a step that can be checked without what its sequence holds or the values in it.
 * @throws EngineError `BAD_STEP`.
 */
export function checkStep(step: EngineStep, shape: ShardShape): void {
  requireInteger('sequence', step.sequence, 0, shape.sequences - 1)
  requireInteger('rows', step.rows, 1, Math.min(shape.batch, shape.context))
  requireInteger('position', step.position, 0, shape.context - step.rows)
  requireInteger('leave', step.leave, shape.start + 1, shape.end)
  requireDtype(step.dtype)
  checkInput(step, shape)
  checkWant(step, shape)
}

function checkInput({ tokens, hidden, rows }: EngineStep, shape: ShardShape): void {
  if ((tokens === undefined) === (hidden === undefined)) fail('a step needs either tokens or hidden states')
  if (tokens !== undefined) {
    if (shape.start > 0) fail(`a shard that starts at layer ${shape.start} takes hidden states, not tokens`)
    if (tokens.length !== rows) fail(`${rows} rows need as many tokens, received ${tokens.length}`)
    for (const token of tokens) requireInteger('token', token, 0, shape.vocabulary - 1)
  }
  if (hidden !== undefined) {
    if (shape.start === 0) fail('a shard that starts at layer 0 takes tokens, not hidden states')
    requireDtype(hidden.dtype)
    const expected = rows * shape.width * BYTES_PER_ELEMENT[hidden.dtype]
    if (hidden.bytes.byteLength !== expected) {
      fail(
        `${rows} ${hidden.dtype} rows of width ${shape.width} are ${expected} bytes, received ${hidden.bytes.byteLength}`
      )
    }
  }
}

function checkWant({ want, rows, leave }: EngineStep, shape: ShardShape): void {
  requireInteger('want.rows', want.rows, 0, rows)
  if (want.rows > 0 && leave !== shape.layers) fail(`candidates come from the head; the step leaves at layer ${leave}`)
  requireInteger('want.candidates', want.candidates, 0, Number.MAX_SAFE_INTEGER)
  if (want.ids.length > MAX_ASKED_IDS) fail(`want.ids has ${want.ids.length} ids, at most ${MAX_ASKED_IDS} are allowed`)
  for (const id of want.ids) requireInteger('want.ids', id, 0, shape.vocabulary - 1)
  if (!wantsEmbedding({ want })) return
  const alone = want.rows === 1 && want.candidates === 0 && want.ids.length === 0 && !want.logSumExp
  if (!alone) fail('an embedding is that of the last row, and comes in place of candidates')
}

function requireDtype(dtype: string): void {
  if (!Object.hasOwn(BYTES_PER_ELEMENT, dtype)) fail(`dtype must be f32 or f16, received ${dtype}`)
}

function requireInteger(name: string, value: number, least: number, most: number): void {
  if (!Number.isInteger(value) || value < least || value > most) {
    fail(`${name} must be a whole number from ${least} to ${most}, received ${value}`)
  }
}

function fail(message: string): never {
  throw new EngineError('BAD_STEP', message)
}
