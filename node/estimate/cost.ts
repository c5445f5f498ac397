/** What an answer will take along a route, from what is known before it begins. Pure; all times in seconds. */
import { chunkRows } from '../pipeline/prompt.js'
import { LINK_ROUND_TRIPS, OPEN_ROUND_TRIPS, OPEN_SECONDS, ROW_SHARE, STAGE_SECONDS, WAY_SECONDS } from './constants.js'

export interface StageCost {
  /** For one token, its queue and, on the last stage, the head included. */
  seconds: number
  /** The part of it that each further row of a step needs too: the layers without the head. */
  layerSeconds: number
}

export interface RouteCost {
  stages: readonly StageCost[]
  /** Half a round trip for each way between two machines that a token takes, from the origin back to the origin. */
  ways: readonly number[]
}

/** Undisturbed by anything that is not in a `RouteCost`. */
export interface Estimate {
  /** Of an answer, once it has begun. */
  token: number
  /** From the route to the first token. */
  prompt: number
  /** From the request to the route. */
  open: number
}

export interface PromptSize {
  promptTokens: number
  rowsPerStep: number
}

export function estimate(cost: RouteCost, prompt: PromptSize): Estimate {
  const farthest = Math.max(0, ...cost.ways)
  const roundTrips = OPEN_ROUND_TRIPS + (cost.stages.length > 1 ? LINK_ROUND_TRIPS : 0)
  return {
    token: cost.stages.reduce((sum, { seconds }) => sum + seconds, networkSeconds(cost)),
    prompt: promptSeconds(cost, prompt),
    open: OPEN_SECONDS + roundTrips * 2 * farthest
  }
}

/** Of one token outside the stages' compute. */
export function networkSeconds({ stages, ways }: RouteCost): number {
  return ways.reduce((sum, way) => sum + way + WAY_SECONDS, stages.length * STAGE_SECONDS)
}

/**
 * Chunks follow each other through the stages: the slowest stage computes all of them, the ones before it the first, the
 * ones after it the last.
 */
function promptSeconds(cost: RouteCost, { promptTokens, rowsPerStep }: PromptSize): number {
  const { stages } = cost
  const chunks = chunkRows(promptTokens, { from: 0, stages: stages.length, rowsPerStep })
  const [first = 0, last = 0] = [chunks[0], chunks.at(-1)]
  const all = (stage: StageCost): number => chunks.reduce((sum, rows) => sum + stepSeconds(stage, rows), 0)
  const through = stages.map((slowest, at) =>
    stages.reduce((sum, stage, i) => {
      if (i === at) return sum + all(slowest)
      return sum + stepSeconds(stage, i < at ? first : last)
    }, 0)
  )
  return Math.max(0, ...through) + networkSeconds(cost)
}

function stepSeconds({ seconds, layerSeconds }: StageCost, rows: number): number {
  return seconds + (rows - 1) * layerSeconds * ROW_SHARE
}
