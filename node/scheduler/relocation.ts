/** A node that leaves its layers for others: where it may go, what the swarm is like then, and what it must not lose. */
import type { LayerRange } from '../../protocol/manifest.js'
import { isComplete } from './chain.js'
import { afterClaims, staying } from './claims.js'
import { missingLayers } from './coverage.js'
import { fitBeside, rangesThatFit } from './fit.js'
import type { PlacedNode, PlacedShard, RebalanceRequest } from './types.js'

/** The ranges that this node could serve instead, of layers that nobody has claimed. */
export function freeRanges(request: RebalanceRequest): LayerRange[] {
  const { range, claims, memoryBytes } = request
  return rangesThatFit(request, memoryBytes).filter(({ start, end }) => {
    if (start === range.start && end === range.end) return false
    return claims.every(claim => claim.end <= start || end <= claim.start)
  })
}

/** All who serve, this node among them. */
export function everybody(request: RebalanceRequest): PlacedNode[] {
  return [...request.served, nodeAt(request, request.range)]
}

/** What is served once every claim is kept, and this node serves `range`. */
export function servedWith(request: RebalanceRequest, range: LayerRange): PlacedShard[] {
  return [...afterClaims(request), nodeAt(request, range)]
}

/**
 * Whether nothing is lost when this node leaves its layers for others: before it serves those, unless both fit its memory.
 * Peers that have claimed other layers are leaving too, and do not count.
 */
export function mayLeave(request: RebalanceRequest, range: LayerRange): boolean {
  const { layers, memoryBytes } = request
  const isBeside = fitBeside(request, { ...request.range, memoryBytes }, range)
  const left = [...staying(request), ...(isBeside ? [nodeAt(request, range)] : [])]
  const lost = missingLayers(layers, left).some(
    ({ start, end }) => start < request.range.end && request.range.start < end
  )
  if (lost) return false
  return isComplete(layers, left) || !isComplete(layers, everybody(request))
}

/** This node as it is once it serves `range`. */
export function nodeAt(
  { peer, layersPerSecond, memoryBytes }: RebalanceRequest,
  { start, end }: LayerRange
): PlacedNode {
  return { peer, start, end, layersPerSecond, memoryBytes }
}

/** The same swarm as another one of its nodes sees it. */
export function viewOf(request: RebalanceRequest, node: PlacedNode): RebalanceRequest {
  const { peer, start, end, layersPerSecond, memoryBytes = 0 } = node
  const served = everybody(request).filter(other => other.peer !== peer)
  return { ...request, peer, range: { start, end }, layersPerSecond, memoryBytes, served }
}
