/**
 * The daemon's control interface: JSON over HTTP on a local socket in the home folder, for the owner's own commands.
 * Streams are NDJSON: one event a line. Shared by the daemon (`server.ts`) and by the CLI (`client.ts`).
 */

import type { AvailabilityState, AvailabilityView } from '../availability/types.js'
import type { ChatMessage, Tool } from '../engine/types.js'
import type { LayerRange } from '../models/types.js'

export interface StatusView {
  version: string
  pid: number
  uptimeSeconds: number
  home: string
  name: string
  peer: string
  swarm: { name: string; id: string; closed: boolean }
  addresses: string[]
  /** Where other programs reach this node over HTTP; undefined: nowhere. */
  gateway: string | undefined
  /** Where its page is, with the secret of the node's owner; undefined: nowhere. */
  page: string | undefined
  state: 'joining' | AvailabilityState
  availability: AvailabilityView
  peers: number
  engine: {
    state: 'stopped' | 'starting' | 'ready' | 'restarting'
    backend: string | undefined
    devices: string[]
    restarts: number
    version: string | undefined
  }
  shards: ShardView[]
  /** Fetching or loading now. */
  tasks: TaskView[]
  sessions: { served: number; origin: number }
  /** Refusals since the start, by reason: status codes, and what only this node counts. */
  refused: Record<string, number>
  /** Peers that are banned now. */
  banned: number
  memoryBytes: number
  usedBytes: number
}

export interface ShardView {
  model: string
  manifest: string
  start: number
  end: number
  secondsPerLayer: number
  sessions: number
  /** Positions for all sessions, and those that are free. */
  context: number
  freeContext: number
}

export interface TaskView {
  what: 'checking' | 'fetching' | 'loading'
  model: string
  layers: { start: number; end: number } | undefined
  /** Between 0 and 1. */
  progress: number
}

export interface PeerView {
  peer: string
  name: string
  self: boolean
  agent: string
  path: 'self' | 'direct' | 'relayed' | 'unconnected'
  roundTripMs: number | undefined
  /** What it says of itself, or `banned`. */
  state: string
  /** What is left of its ban. */
  bannedSeconds: number | undefined
  hardware: { backend: string; device: string; threads: number; memoryBytes: number }
  shards: PeerShardView[]
  relay: boolean
}

/** Layers that a node serves, and their load as it has said last: that may be 15 seconds old, or more. */
export interface PeerShardView {
  model: string
  start: number
  end: number
  /** For one token, lately. */
  secondsPerLayer: number
  /** That it can still take; how many it has is not told. */
  freeSessions: number
  /** Positions. */
  freeContext: number
  /** Steps that a new one finds in front of it, on average. */
  queue: number
}

export interface ModelView {
  name: string
  manifest: string
  architecture: string
  layers: number
  cuts: number[]
  complete: boolean
  /** Layers that nobody serves. */
  missing: { start: number; end: number }[]
  holders: { peer: string; name: string; start: number; end: number; serving: boolean }[]
  /** Of all weights; absent where this node does not have the model's manifest. */
  bytes?: number
  /** Positions that the model was trained for; absent likewise. */
  context?: number
}

export interface StopRequest {
  /** Seconds that live sessions may take to move or to end; 0 ends them at once. */
  drainSeconds: number
}

export interface PauseRequest {
  /** Until the node serves again by itself; absent: until it is resumed. */
  seconds?: number
}

export interface ShareRequest {
  file: string
  /** How people call it; the file's name by default. */
  name?: string
  layers?: { start: number; end: number }
}

export type SharePhase = 'reading' | 'checking' | 'hashing' | 'loading'

export type ShareEvent =
  | { event: 'progress'; phase: SharePhase; done: number; total: number; note?: string }
  | {
      event: 'shared'
      model: string
      manifest: string
      layers: number
      cuts: number[]
      /** What this node serves of it now; absent where it serves nothing, for the reason that `problem` tells. */
      serves?: LayerRange
      problem?: ErrorView
    }
  | { event: 'error'; error: ErrorView }

export interface SamplingRequest {
  /** 0 is greedy. */
  temperature?: number
  topK?: number
  topP?: number
  minP?: number
  repeatPenalty?: number
  presencePenalty?: number
  frequencyPenalty?: number
  /** By token id. */
  logitBias?: Record<string, number>
  seed?: number
  stop?: string[]
  maxTokens?: number
  /** How many of the likeliest tokens are told with each token; 0: only that token's probability; absent: none. */
  logprobs?: number
}

/** A token with the natural logarithm of its probability, as the model gives it before any sampling. */
export interface LogprobView {
  token: number
  /** What it stands for; empty for control tokens. */
  bytes: number[]
  logprob: number
}

export interface GenerateRequest {
  model: string
  /** Either a prompt to answer (through the chat template) or to continue (`raw`) ... */
  prompt?: string
  raw?: boolean
  /** ... or a conversation. */
  messages?: ChatMessage[]
  /** Functions that the model may ask for; what it asks for is the client's to run. */
  tools?: Tool[]
  /** Whether it must (one of them, or this one), may (by default) or may not. */
  toolChoice?: 'auto' | 'none' | 'required' | { name: string }
  sampling: SamplingRequest
  /** What the answer must be: JSON that fits a schema. */
  format?: { schema: Record<string, unknown> }
  /** Element type of hidden states on the wire. */
  dtype?: 'f32' | 'f16'
  /** How stages that take another's place are filled: in large steps, or in those that were sent before. */
  replay?: 'fast' | 'exact'
  /** Seconds to wait for a node that serves layers which nobody serves now, at the beginning or in the middle. */
  wait?: number
}

export type GenerateEvent =
  /** `cachedTokens` of the prompt were there already, from an earlier answer. */
  | { event: 'route'; stages: RouteStageView[]; promptTokens: number; cachedTokens: number }
  /** New text; `tokens` are the ids that made it, `logprobs` their probabilities where they were asked for. */
  | { event: 'text'; text: string; tokens: number[]; logprobs?: (LogprobView & { top: LogprobView[] })[] }
  /** The model asks for a tool; `arguments` is JSON. */
  | { event: 'tool-call'; name: string; arguments: string }
  /** Stages were lost, or left, and others have taken their place; no token is lost. */
  | {
      event: 'reroute'
      stages: RouteStageView[]
      lost: { peer: string; name: string; start: number; end: number; reason?: string }[]
      /** Positions that were sent again. */
      replayed: number
      /** From the loss until the others were there. */
      elapsedMs: number
    }
  /** Nobody serves what is needed now; the answer goes on when somebody does. */
  | { event: 'waiting'; message: string }
  | { event: 'done'; reason: 'stop' | 'length' | 'stop-string' | 'context' | 'tool-calls'; stats: GenerateStats }
  | { event: 'error'; error: ErrorView }

export interface RouteStageView {
  peer: string
  name: string
  start: number
  end: number
  local: boolean
  /** How hidden states reach the next stage. */
  link: 'local' | 'direct' | 'relayed' | 'star' | 'origin'
}

export interface GenerateStats {
  promptTokens: number
  /** Of the prompt: there already, from an earlier answer. */
  cachedTokens: number
  generatedTokens: number
  /** From the request to the first token. */
  firstTokenMs: number
  promptMs: number
  decodeMs: number
  tokensPerSecond: number
  /** Medians over the generated tokens, in the order of the route. */
  stages: (RouteStageView & { computeMs: number; queuedMs: number })[]
  /** Per token outside the stages' compute, median. */
  networkMs: number
  seed: number
  /** How often stages were replaced. */
  recoveries: number
}

export interface ErrorView {
  code: string
  message: string
  details: Record<string, unknown>
}
