/**
 * Every metric of a node. Names are Prometheus': base units, `_total` for counters. No label has values that others could
 * make up without end: models are bounded (`ModelNames`), the rest are closed sets.
 */

export interface MetricFacts {
  name: string
  type: 'counter' | 'gauge' | 'histogram'
  /** What one is of. */
  unit: string
  labels: readonly string[]
  /** What it means, as Prometheus and docs/metrics.md have it. */
  help: string
  /** Upper bounds, of a histogram. */
  buckets?: readonly number[]
}

/** Seconds of one token, or of what a stage does for it: a fast GPU's layers to a slow chain's recovery. */
const TOKEN_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
/** Seconds until somebody who waits sees something. */
const WAIT_SECONDS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120]
/** Seconds of a request, from a list of models to a long answer. */
const REQUEST_SECONDS = [0.005, 0.025, 0.1, 0.25, 1, 2.5, 10, 30, 60, 300, 1800]
/** Rows of a step: 1 is a token of an answer, more are a prompt or a replay. */
const STEP_ROWS = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]
/** Steps of a decode: at most one of each session. */
const DECODE_STEPS = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64]

export const METRICS = {
  info: {
    ...{ name: 'flambeau_info', type: 'gauge', unit: 'none', labels: ['version', 'backend'] },
    help: 'Always 1: this version of Flambeau, and what computes here; empty while no engine runs.'
  },
  state: {
    ...{ name: 'flambeau_state', type: 'gauge', unit: 'none', labels: ['state'] },
    help: '1 for what the node does now, 0 for the others: joining, online, draining, paused, leaving.'
  },
  answers: {
    ...{ name: 'flambeau_answers_total', type: 'counter', unit: 'answers', labels: ['model', 'outcome'] },
    help: 'Answers of this node that have ended, embeddings too: ok, cancelled, or the code of the error.'
  },
  generatedTokens: {
    ...{ name: 'flambeau_generated_tokens_total', type: 'counter', unit: 'tokens', labels: ['model'] },
    help: 'Tokens of these answers, also of those that did not come to their end.'
  },
  promptTokens: {
    ...{ name: 'flambeau_prompt_tokens_total', type: 'counter', unit: 'tokens', labels: ['model'] },
    help: 'Tokens of the prompts that were sent to a route.'
  },
  cachedTokens: {
    ...{ name: 'flambeau_cached_prompt_tokens_total', type: 'counter', unit: 'tokens', labels: ['model'] },
    help: 'Those of them that the stages had already, from an earlier answer.'
  },
  firstToken: {
    ...{ name: 'flambeau_first_token_seconds', type: 'histogram', unit: 'seconds', labels: ['model'] },
    help: 'From the request to its first text, with the wait for a turn.',
    buckets: WAIT_SECONDS
  },
  token: {
    ...{ name: 'flambeau_token_seconds', type: 'histogram', unit: 'seconds', labels: ['model'] },
    help: "For each token after the first text, with recoveries and without the reader's own time.",
    buckets: TOKEN_SECONDS
  },
  recoveries: {
    ...{ name: 'flambeau_recoveries_total', type: 'counter', unit: 'recoveries', labels: ['cause'] },
    help: "Changes of an answer's route on the way: stages were lost, or have moved because they were asked to."
  },
  recovery: {
    ...{ name: 'flambeau_recovery_seconds', type: 'histogram', unit: 'seconds', labels: [] },
    help: 'From the loss of stages until others were in their place.',
    buckets: WAIT_SECONDS
  },
  answersRunning: {
    ...{ name: 'flambeau_answers_running', type: 'gauge', unit: 'answers', labels: [] },
    help: 'Answers of this node that are under way.'
  },
  answersWaiting: {
    ...{ name: 'flambeau_answers_waiting', type: 'gauge', unit: 'answers', labels: [] },
    help: 'Answers that wait for their turn because every chain of nodes is busy.'
  },
  sessions: {
    ...{ name: 'flambeau_sessions', type: 'gauge', unit: 'sessions', labels: [] },
    help: "Sessions on this node's layers now, those of its own answers too."
  },
  stepCompute: {
    ...{ name: 'flambeau_step_compute_seconds', type: 'histogram', unit: 'seconds', labels: ['origin'] },
    help: "Of each step on this node's layers, in the decode that it shares with others; origin: self or peer.",
    buckets: TOKEN_SECONDS
  },
  stepQueue: {
    ...{ name: 'flambeau_step_queue_seconds', type: 'histogram', unit: 'seconds', labels: ['origin'] },
    help: 'Of each step, until its decode began.',
    buckets: TOKEN_SECONDS
  },
  stepRows: {
    ...{ name: 'flambeau_step_rows', type: 'histogram', unit: 'positions', labels: ['origin'] },
    help: 'Of each step: 1 for a token of an answer, more for prompts and replays.',
    buckets: STEP_ROWS
  },
  decodeSteps: {
    ...{ name: 'flambeau_decode_steps', type: 'histogram', unit: 'steps', labels: [] },
    help: 'Of each decode of llama.cpp: how many steps, of a session each, are computed together.',
    buckets: DECODE_STEPS
  },
  decodeRows: {
    ...{ name: 'flambeau_decode_rows', type: 'histogram', unit: 'positions', labels: [] },
    help: 'Of each decode: the positions of these steps together.',
    buckets: STEP_ROWS
  },
  positions: {
    ...{ name: 'flambeau_kv_positions', type: 'gauge', unit: 'positions', labels: ['model', 'layers'] },
    help: 'Positions of KV cache that a shard has, for all its sessions.'
  },
  positionsUsed: {
    ...{ name: 'flambeau_kv_positions_used', type: 'gauge', unit: 'positions', labels: ['model', 'layers'] },
    help: 'Those that sessions have reserved.'
  },
  layerTime: {
    ...{ name: 'flambeau_layer_token_seconds', type: 'gauge', unit: 'seconds', labels: ['model', 'layers'] },
    help: 'For one layer and one token, as measured lately.'
  },
  memoryGiven: {
    ...{ name: 'flambeau_memory_given_bytes', type: 'gauge', unit: 'bytes', labels: [] },
    help: 'What the owner gives to shards.'
  },
  memoryUsed: {
    ...{ name: 'flambeau_memory_used_bytes', type: 'gauge', unit: 'bytes', labels: [] },
    help: 'What shards take of it.'
  },
  engineReady: {
    ...{ name: 'flambeau_engine_ready', type: 'gauge', unit: 'none', labels: [] },
    help: '1 while the engine computes; 0 while it starts, restarts or rests because the node is paused.'
  },
  engineRestarts: {
    ...{ name: 'flambeau_engine_restarts_total', type: 'counter', unit: 'restarts', labels: [] },
    help: "How often the engine's process was lost."
  },
  streamBytes: {
    ...{
      name: 'flambeau_stream_bytes_total',
      type: 'counter',
      unit: 'bytes',
      labels: ['protocol', 'opened', 'direction']
    },
    help: 'Over stage streams (from and to origins) and relay streams (from stage to stage), opened here or by a peer, sent or received; ended streams too.'
  },
  peers: {
    ...{ name: 'flambeau_peers', type: 'gauge', unit: 'peers', labels: ['path'] },
    help: 'Other nodes of the swarm that this one knows: direct, relayed or unconnected.'
  },
  refusals: {
    ...{ name: 'flambeau_refusals_total', type: 'counter', unit: 'refusals', labels: ['reason'] },
    help: 'What was refused to peers, by the counters of flambeau status.'
  },
  bans: {
    ...{ name: 'flambeau_bans_total', type: 'counter', unit: 'bans', labels: [] },
    help: 'Bans that began.'
  },
  bannedPeers: {
    ...{ name: 'flambeau_banned_peers', type: 'gauge', unit: 'peers', labels: [] },
    help: 'Peers that are banned now.'
  },
  requests: {
    ...{ name: 'flambeau_http_requests_total', type: 'counter', unit: 'requests', labels: ['route', 'status'] },
    help: 'Requests to the gateway; status: aborted where the client went away before there was one.'
  },
  requestTime: {
    ...{ name: 'flambeau_http_request_seconds', type: 'histogram', unit: 'seconds', labels: ['route'] },
    help: 'From a request until the last byte of its answer, or until the client went away.',
    buckets: REQUEST_SECONDS
  }
} as const satisfies Record<string, MetricFacts>
