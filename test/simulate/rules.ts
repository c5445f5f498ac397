/** The rules that are compared: where a node begins, and when it goes where. */
import type { LayerRange } from '../../protocol/manifest.js'
import { precedingClaims } from '../../node/scheduler/claims.js'
import { choosePlacement } from '../../node/scheduler/placement.js'
import { lookAgainAfter, lookAtHoleAfter, rebalance, SETTLE_SECONDS } from '../../node/scheduler/rebalance.js'
import { mayLeave } from '../../node/scheduler/relocation.js'
import { isComplete } from '../../node/scheduler/chain.js'
import { layerRates, slowest, usableRates } from '../../node/scheduler/throughput.js'
import type { ModelSize, PlacedShard, RebalanceRequest } from '../../node/scheduler/types.js'
import type { Snapshot } from './directory.js'
import { petalsMoves, petalsStart } from './petals.js'
import type { Holder } from './optimum.js'
import type { Random } from './random.js'

/** A node that serves. */
export interface Server extends Holder {
  range: LayerRange
  servedSeconds: number
}

export interface Rule {
  name: string
  /** Where a node begins that knows `seen`. */
  join(seen: Snapshot, node: Holder): LayerRange
  /** Where a node should go, if anywhere. */
  look(seen: Snapshot, node: Server): LayerRange | undefined
  /** Seconds until the next look. */
  wait(): number
  /** Seconds until the look after it hears that layers have lost their last holder; a rule without it waits. */
  waitAtHole?(): number
  /** How a move is made safe; a rule without it leaves at once. */
  careful?: {
    settleSeconds: number
    confirm(seen: Snapshot, node: Server & { claim: LayerRange; older: ReadonlySet<string> }): boolean
    mayLeave(seen: Snapshot, node: Server & { claim: LayerRange }): boolean
  }
  /** Tokens per second of the slowest layer as this rule's system can use what is served; 0 where there is a hole. */
  throughput(shards: readonly PlacedShard[]): number
  hasHole(shards: readonly PlacedShard[]): boolean
}

/** What the nodes of Flambeau do: the very functions, without a node's patience, which lasts longer than a day. */
export function flambeau(size: ModelSize, random: Random): Rule {
  const request = ({ served, claims }: Snapshot, node: Server): RebalanceRequest => ({
    ...size,
    ...node,
    served: served.filter(({ peer }) => peer !== node.peer),
    claims: claims.filter(({ peer }) => peer !== node.peer)
  })
  const look: Rule['look'] = (seen, node) => {
    const { kind, ...range } = { start: 0, end: 0, ...rebalance(request(seen, node)) }
    return kind === 'move' ? range : undefined
  }
  return {
    name: 'flambeau',
    join: ({ served, claims }, node) => {
      const placement = choosePlacement({ ...size, ...node, served, claims })
      if (placement.kind !== 'range') throw new RangeError('a simulated node holds at least one layer')
      return { start: placement.start, end: placement.end }
    },
    look,
    wait: () => lookAgainAfter(random.next()),
    waitAtHole: () => lookAtHoleAfter(random.next()),
    careful: {
      settleSeconds: SETTLE_SECONDS,
      confirm: (seen, node) => {
        const claims = precedingClaims(seen.claims, node).filter(({ peer }) => peer !== node.peer)
        const again = look({ ...seen, claims }, node)
        return again?.start === node.claim.start && again.end === node.claim.end
      },
      mayLeave: (seen, node) => mayLeave(request(seen, node), node.claim)
    },
    throughput: shards => slowest(usableRates(size.layers, shards)),
    hasHole: shards => !isComplete(size.layers, shards)
  }
}

/** Seconds between two looks of a Petals server, on average. */
const PETALS_LOOK_SECONDS = 120

/** What a server of Petals does. It can enter a range at any layer, so a hole is only a layer that nobody serves. */
export function petals({ layers, layerBytes }: ModelSize, random: Random): Rule {
  const lengthOf = ({ memoryBytes }: Holder): number => Math.min(layers, Math.floor(memoryBytes / (layerBytes[0] ?? 1)))
  const place = (rates: readonly number[], node: Holder): LayerRange => {
    const start = petalsStart(rates, lengthOf(node))
    return { start, end: start + lengthOf(node) }
  }
  /** Servers that are joining count as if they served already. */
  const all = ({ served, claims }: Snapshot): PlacedShard[] => [...served, ...claims]
  return {
    name: 'petals',
    join: (seen, node) => place(layerRates(layers, all(seen)), node),
    look: (seen, node) => {
      const others = all(seen).filter(({ peer }) => peer !== node.peer)
      const { peer, layersPerSecond, range } = node
      if (!petalsMoves(layers, [...others, { peer, layersPerSecond, ...range }], { peer, random })) return undefined
      const to = place(layerRates(layers, others), node)
      return to.start === range.start ? undefined : to
    },
    wait: () => random.between(0, 2 * PETALS_LOOK_SECONDS),
    throughput: shards => slowest(layerRates(layers, shards)),
    hasHole: shards => slowest(layerRates(layers, shards)) === 0
  }
}
