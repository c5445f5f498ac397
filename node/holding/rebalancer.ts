import { asError } from '../../protocol/errors.js'
import { abortable } from '../deadline.js'
import type { Logger } from '../logger.js'
import type { ModelStore } from '../models/store.js'
import type { LayerRange } from '../models/types.js'
import { rangeText } from '../pipeline/catalogue.js'
import type { ServedShard } from '../pipeline/served-shard.js'
import type { ShardRegistry } from '../pipeline/shard-registry.js'
import { precedingClaims } from '../scheduler/claims.js'
import { bytesOfRange } from '../scheduler/fit.js'
import { lookAgainAfter, lookAtHoleAfter, SETTLE_SECONDS } from '../scheduler/rebalance.js'
import { mayLeave } from '../scheduler/relocation.js'
import type { Rebalance, RebalanceRequest } from '../scheduler/types.js'
import type { Directory } from '../swarm/types.js'
import { placementRequest, speedOf } from './choice.js'
import { HoleWatch } from './hole-watch.js'
import type { Holdings } from './holdings.js'
import type { Intents } from './intents.js'
import type { MemoryBudget } from './memory-budget.js'
import { Patience } from './patience.js'
import type { ShardLoader, SizedModel } from './shard-loader.js'

/** A node that may not leave its old layers yet, or has sessions on them, asks again after so long ... */
const LEAVE_AGAIN_SECONDS = 60
/** ... and gives the move up after so many times. */
const LEAVE_ATTEMPTS = 10

export interface RebalancerParts {
  holdings: Pick<Holdings, 'turn' | 'usedBytes' | 'usedBytesOf'>
  loader: ShardLoader
  shards: ShardRegistry
  store: Pick<ModelStore, 'removeShard'>
  directory: Directory
  intents: Intents
  memory: Pick<MemoryBudget, 'bytes'>
  /** What `rebalance` says. */
  decide: (request: RebalanceRequest, signal: AbortSignal) => Promise<Rebalance>
  logger: Pick<Logger, 'info' | 'warn'>
}

export interface RebalancerSettings {
  /** This node's peer id. */
  peer: () => string
  /** A number in [0, 1). */
  random: () => number
}

/**
 * Now and then asks for each model that this node serves whether other layers would help the swarm more, and moves there:
 * claims them, waits until everybody knows, fetches them while it serves the old ones, and replaces those when nobody
 * needs them.
 */
export class Rebalancer {
  readonly #parts: RebalancerParts
  readonly #settings: RebalancerSettings
  readonly #seen = new WeakMap<ServedShard, Seen>()
  readonly #stopped = new AbortController()
  readonly #holes: HoleWatch
  /** Layers have lost their last holder since the last look: they are not left alone until the next one would come. */
  #isHoleNew = false
  #timer: NodeJS.Timeout | undefined
  #looking: Promise<void> = Promise.resolve()

  constructor(parts: RebalancerParts, settings: RebalancerSettings) {
    this.#parts = parts
    this.#settings = settings
    this.#holes = new HoleWatch(parts, () => {
      this.#isHoleNew = true
      if (this.#timer !== undefined) this.#lookLater()
    })
  }

  start(): void {
    this.#parts.shards.addEventListener('change', this.#notice)
    this.#holes.start()
    this.#notice()
    this.#lookLater()
  }

  async stop(): Promise<void> {
    this.#parts.shards.removeEventListener('change', this.#notice)
    this.#holes.stop()
    clearTimeout(this.#timer)
    this.#stopped.abort(new Error('the node is shutting down'))
    await this.#looking
  }

  /** Looks at every model now, one after the other. Resolves when no move is under way any more. */
  async look(): Promise<void> {
    for (const shard of this.#parts.shards.list()) {
      const { manifest } = shard.facts
      const { pinned, claim } = this.#parts.intents.of(manifest)
      if (this.#isStopped()) return
      if (pinned === true || claim !== undefined) continue
      try {
        await this.#consider(shard)
      } catch (error) {
        if (this.#isStopped()) return
        this.#parts.logger.warn({ manifest, reason: asError(error).message }, 'cannot move to other layers now')
      }
    }
  }

  #isStopped(): boolean {
    return this.#stopped.signal.aborted
  }

  readonly #notice = (): void => {
    for (const shard of this.#parts.shards.list()) this.#seenOf(shard)
  }

  #seenOf(shard: ServedShard): Seen {
    const seen = this.#seen.get(shard) ?? { since: Date.now(), patience: new Patience({ now: Date.now }) }
    this.#seen.set(shard, seen)
    return seen
  }

  /** In place of a look that was to come. */
  #lookLater(): void {
    const random = this.#settings.random()
    const seconds = this.#isHoleNew ? lookAtHoleAfter(random) : lookAgainAfter(random)
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      this.#isHoleNew = false
      this.#looking = this.look().then(() => {
        if (!this.#isStopped()) this.#lookLater()
      })
    }, seconds * 1_000).unref()
  }

  async #consider(shard: ServedShard): Promise<void> {
    const { loader, intents, decide, logger } = this.#parts
    const { signal } = this.#stopped
    const { manifest, range } = shard.facts
    const sized = await loader.describe(manifest, { signal })
    const request = this.#request(sized, shard)
    const move = await decide(request, signal)
    const due = move.kind === 'stay' && move.awaits !== undefined ? [move.awaits] : []
    const awaited = [...request.claims, ...due].map(({ peer }) => peer)
    this.#seenOf(shard).patience.waitFor(awaited, request)
    if (move.kind === 'stay') return
    const to = { start: move.start, end: move.end }
    using _claim = intents.claim(manifest, to)
    const older = new Set(request.claims.map(({ peer }) => peer))
    await this.#wait(SETTLE_SECONDS)
    const again = await decide(this.#confirming(this.#request(sized, shard), older), signal)
    if (!isMoveTo(to, again)) return
    logger.info(
      { model: sized.model.manifest.name, from: rangeText(range), to: rangeText(to) },
      'moving to other layers'
    )
    await this.#move({ shard, sized, to })
  }

  async #move({ shard, sized, to }: Moving): Promise<void> {
    const { holdings, loader } = this.#parts
    const { manifest } = shard.facts
    const file = await holdings.turn(manifest, async signal => loader.fetch(sized.model, to, { signal }))
    let found: 'busy' | 'needed' | 'replaced' | undefined
    for (let attempt = 0; attempt < LEAVE_ATTEMPTS; attempt++) {
      if (attempt > 0) await this.#wait(LEAVE_AGAIN_SECONDS, found === 'busy' ? shard.idle() : undefined)
      found = await holdings.turn(manifest, async signal => this.#replace({ shard, sized, to }, file, signal))
      if (found === 'replaced') return
    }
    await this.#parts.store.removeShard(manifest, to)
    const why = found === 'busy' ? 'there are always sessions on the old layers' : 'the old layers are needed'
    this.#parts.logger.info({ manifest, layers: rangeText(to) }, `a move was given up: ${why}`)
  }

  /** Serves the new layers in place of the old ones, unless others need those, or sessions on them have still to go. */
  async #replace(
    { shard, sized, to }: Moving,
    file: string,
    signal: AbortSignal
  ): Promise<'replaced' | 'needed' | 'busy'> {
    const { holdings, loader, memory, shards } = this.#parts
    const { manifest } = shard.facts
    if (!shards.list().includes(shard)) throw new Error('the engine was restarted meanwhile')
    if (!mayLeave(this.#request(sized, shard), to)) return 'needed'
    const needed = bytesOfRange(sized.size, to)
    const isBeside = needed <= memory.bytes - holdings.usedBytes
    if (!isBeside && shard.sessions > 0) {
      shards.relieve(shard)
      return 'busy'
    }
    // Without a session a retiring shard is unloaded at once, and its memory is free.
    if (!isBeside) await shards.retire(shard)
    const used = isBeside ? (holdings.usedBytesOf.get(manifest) ?? 0) : 0
    await loader.serve(sized.model, { range: to, file }, { signal })
    holdings.usedBytesOf.set(manifest, used + needed)
    if (isBeside) void this.#retire(shard, needed)
    else await this.#forget(shard)
    return 'replaced'
  }

  /** The sessions on the old layers go on until they end. */
  async #retire(shard: ServedShard, usedAfter: number): Promise<void> {
    const { holdings, shards } = this.#parts
    const { manifest } = shard.facts
    await shards.retire(shard)
    if (holdings.usedBytesOf.has(manifest)) holdings.usedBytesOf.set(manifest, usedAfter)
    await this.#forget(shard)
  }

  /** So that a node which restarts comes back with the layers that it had last. */
  async #forget({ facts: { manifest, range } }: ServedShard): Promise<void> {
    const { store, logger } = this.#parts
    await store.removeShard(manifest, range).catch((error: unknown) => {
      logger.warn({ manifest, reason: asError(error).message }, 'the file of layers that were left cannot be removed')
    })
  }

  #request({ model, size }: SizedModel, shard: ServedShard): RebalanceRequest {
    const { directory, holdings, memory } = this.#parts
    const others = holdings.usedBytes - (holdings.usedBytesOf.get(model.id) ?? 0)
    const { since, patience } = this.#seenOf(shard)
    const request = placementRequest({
      model,
      footprint: size,
      memoryBytes: memory.bytes - others,
      nodes: directory.nodes(),
      layersPerSecond: speedOf(shard)
    })
    return {
      ...patience.judged(request, shard.facts.range),
      peer: this.#settings.peer(),
      range: shard.facts.range,
      servedSeconds: (Date.now() - since) / 1_000
    }
  }

  #confirming(request: RebalanceRequest, older: ReadonlySet<string>): RebalanceRequest {
    return { ...request, claims: precedingClaims(request.claims, { peer: request.peer, older }) }
  }

  /** Until `earlier` at most. @throws the reason for which the node stops */
  async #wait(seconds: number, earlier?: Promise<void>): Promise<void> {
    const waited = Promise.withResolvers<undefined>()
    const timer = setTimeout(() => waited.resolve(undefined), seconds * 1_000).unref()
    void earlier?.then(() => waited.resolve(undefined))
    try {
      await abortable(waited.promise, this.#stopped.signal)
    } finally {
      clearTimeout(timer)
    }
  }
}

interface Seen {
  /** When it was first seen to be served, milliseconds. */
  since: number
  /** With those for whom it waits while it serves these layers. */
  patience: Patience
}

interface Moving {
  shard: ServedShard
  sized: SizedModel
  to: LayerRange
}

function isMoveTo(to: LayerRange, found: Rebalance): boolean {
  return found.kind === 'move' && found.start === to.start && found.end === to.end
}
