/** Claims: what peers say that they are about to serve. */
import type { PlacedNode, PlacedShard, PlacementRequest } from './types.js'

type Claimed = Pick<PlacementRequest, 'served' | 'claims'>

/** What others will serve once every claim is kept: whoever claims layers leaves those that it serves now. */
export function afterClaims(request: Claimed): readonly PlacedShard[] {
  return request.claims.length === 0 ? request.served : [...staying(request), ...request.claims]
}

/** What others serve and will go on serving. */
export function staying({ served, claims }: Claimed): readonly PlacedNode[] {
  if (claims.length === 0) return served
  const leaving = new Set(claims.map(({ peer }) => peer))
  return served.filter(({ peer }) => !leaving.has(peer))
}

/** Those who claim layers and serve none yet: they stay where they come to. */
export function joiners({ served, claims }: Claimed): PlacedNode[] {
  const serving = new Set(served.map(({ peer }) => peer))
  return claims.filter(({ peer }) => !serving.has(peer)).map(claim => ({ ...claim, memoryBytes: undefined }))
}

/**
 * The claims that come before one of this peer's own. Those that were there when it was made do; of those that were made
 * at the same time, unknown to each other, the ones of peers whose ids come first.
 *
 * @param own.older the peers whose claims were known when this one was made
 */
export function precedingClaims(
  claims: readonly PlacedShard[],
  own: { peer: string; older: ReadonlySet<string> }
): PlacedShard[] {
  return claims.filter(({ peer }) => peer < own.peer || own.older.has(peer))
}
