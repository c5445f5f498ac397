/** Inputs and outputs of the pure scheduling functions. All times are seconds, layers are half open `[start, end)`. */

/** A loaded shard that could be a stage. */
export interface RouteShard {
  peer: string
  start: number
  end: number
  /** For one token and one layer, on this peer as loaded now. */
  secondsPerLayer: number
  /** Steps waiting in front of a new one, on average. */
  queue: number
  freeSessions: number
  freeContext: number
  /** Half round trip between the origin and this peer; 0 for the origin itself. */
  originLatency: number
  /** True for a shard on the origin's own node: called without a socket. */
  local: boolean
}

/** The part of a route that is looked for: all of it, or what is to be put between two stages that stay. */
export interface RouteSegment {
  start: number
  end: number
  /** Peers of the stages that stay; undefined: the origin. */
  before?: string | undefined
  after?: string | undefined
}

export interface RouteRequest {
  /** Layers of the whole model. */
  layers: number
  /** The whole model, unless said otherwise. */
  segment?: RouteSegment
  /** Layers before which the model may be cut. */
  cuts: number[]
  shards: RouteShard[]
  /** Half round trip from one peer to another; undefined when unknown. */
  latency: (from: string, to: string) => number | undefined
  /** KV positions that the session needs. */
  context: number
  /** Fixed software cost of a hop between two machines. */
  hopSeconds: number
  /** Peers that must not be used (just failed, not trusted). */
  exclude?: ReadonlySet<string>
}

/** One stage: the shard runs `[start, leave)`. */
export interface RouteStage {
  peer: string
  start: number
  /** The shard's own end; `leave` may be earlier. */
  end: number
  leave: number
  local: boolean
}

export type RoutePlan =
  | { kind: 'route'; stages: RouteStage[]; secondsPerToken: number }
  /** Layers that no shard holds. */
  | { kind: 'missing'; layers: { start: number; end: number }[] }
  /** Every layer is held, but no chain of shards fits: why, by peer. */
  | {
      kind: 'blocked'
      reasons: {
        peer: string
        start: number
        end: number
        reason: 'busy' | 'context' | 'excluded' | 'unconnected-range'
      }[]
    }

/** What a model's layers take of memory, and where it may be cut. */
export interface ModelSize {
  layers: number
  /** Layers before which the model may be cut. */
  cuts: number[]
  /** Bytes of each layer's weights and its KV for the configured context. */
  layerBytes: number[]
  /** Bytes of the embedding (needed with layer 0) and of the head (needed with the last layer). */
  embeddingBytes: number
  headBytes: number
}

/** A range of layers on a peer. */
export interface PlacedShard {
  peer: string
  start: number
  end: number
  /** The peer's speed, tokens per second for one layer. */
  layersPerSecond: number
}

/** A peer with the layers that it serves. */
export interface PlacedNode extends PlacedShard {
  /** What its owner gives to this model; undefined: nobody knows, or it stays where it is. */
  memoryBytes?: number | undefined
}

/** What a node knows when it chooses layers of a model. */
export interface PlacementRequest extends ModelSize {
  /** What the owner gives to this model. */
  memoryBytes: number
  /** This node's speed, tokens per second for one layer. */
  layersPerSecond: number
  /** What others serve. */
  served: readonly PlacedNode[]
  /** What others are fetching or loading; a peer that serves another range as well will leave that one. */
  claims: readonly PlacedShard[]
}

/** What a node knows when it considers to hold other layers than it does. */
export interface RebalanceRequest extends PlacementRequest {
  /** This node's peer id. */
  peer: string
  /** The layers that this node serves. */
  range: { start: number; end: number }
  /** For how many seconds it has served them. */
  servedSeconds: number
}

export type Rebalance =
  /** `awaits`: whose move should come first. */
  { kind: 'stay'; awaits?: PlacedNode | undefined } | { kind: 'move'; start: number; end: number }

export type Placement =
  | { kind: 'range'; start: number; end: number }
  /** Not even one allowed range fits: the smallest one and its size. */
  | { kind: 'too-small'; neededBytes: number }
