/** What `POST /v1/plan` and `GET /v1/estimates` take and answer. */
import type { LayerRange } from '../models/types.js'

export interface PlanRequest {
  /** A name, a manifest hash or the beginning of one ... */
  model?: string
  /** ... or a GGUF file on this machine. */
  file?: string
  promptTokens?: number
  maxTokens?: number
}

/** What to expect of a model before it is asked. */
export interface PlanView {
  model: string
  /** Hash, hex; undefined for a file that nobody shares yet. */
  manifest: string | undefined
  layers: number
  promptTokens: number
  maxTokens: number
  /** Undefined where nobody gives the model's header. */
  size: PlannedSize | undefined
  alone: AlonePlan
  swarm: SwarmPlan
  /** Which way gives more tokens a second, where both are known and they are not the same. */
  faster: 'alone' | 'swarm' | undefined
}

/** Bytes of memory. */
export interface PlannedSize {
  /** Of the file: where the head uses the embedding's, once. */
  weights: number
  /** The largest layer, its KV included. */
  layer: number
  embedding: number
  head: number
  /** All of it, with KV for `positions`; a node keeps room for both ends. */
  needed: number
  /** As this node keeps room for them. */
  positions: number
}

export interface PlannedSpeed {
  tokensPerSecond: number
  firstTokenMs: number
  /** Answers that have corrected it; 0: none. */
  correctedBy: number
}

/** On this machine only. */
export interface AlonePlan {
  /** Undefined where the size is not known. */
  fits: boolean | undefined
  /** What the owner gives. */
  memoryBytes: number
  /** Where it fits, and this node has measured layers of the model. */
  speed: PlannedSpeed | undefined
}

export interface PlannedStage extends LayerRange {
  peer: string
  name: string
  local: boolean
  /** For one token. */
  milliseconds: number
}

/** What takes most of a token's time, and how much of it. */
export type PlannedLimit = { kind: 'compute'; stage: number; share: number } | { kind: 'network'; share: number }

/** Layers that nobody serves. */
export interface MissingRange extends LayerRange {
  /** What they take of memory; undefined where the size is not known. */
  bytes: number | undefined
  /** Nodes that are known to have room for them. */
  takers: { peer: string; name: string; freeBytes: number }[]
}

export type SwarmPlan =
  | { kind: 'route'; stages: PlannedStage[]; networkMs: number; speed: PlannedSpeed; limit: PlannedLimit }
  | { kind: 'missing'; ranges: MissingRange[] }
  /** Every layer is served, but nobody can take the session now: why. */
  | { kind: 'blocked'; message: string }
  /** A file: whether it would fit what so many nodes give, whatever they hold now. */
  | { kind: 'unshared'; nodes: number; memoryBytes: number; fits: boolean }

/** An answer: what was expected of it, and what it took. */
export interface EstimateView {
  /** Milliseconds since 1970, at its end. */
  at: number
  model: string
  manifest: string
  stages: number
  promptTokens: number
  /** Of the prompt: there already, from an earlier answer. */
  cachedTokens: number
  generatedTokens: number
  /** How often stages were replaced: what was expected holds for the first route. */
  recoveries: number
  estimated: Pick<PlannedSpeed, 'tokensPerSecond' | 'firstTokenMs'>
  /** Tokens per second: 0 where there were too few to tell. */
  measured: Pick<PlannedSpeed, 'tokensPerSecond' | 'firstTokenMs'>
}

/** How far off the last estimates were, whatever the model: medians of the errors whichever way, in parts of what came. */
export interface AccuracyView {
  /** Answers that are looked at. */
  answers: number
  /** Undefined where none of them tells. */
  tokensPerSecond: number | undefined
  firstToken: number | undefined
}
