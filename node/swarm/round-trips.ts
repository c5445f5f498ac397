/** Samples a peer: the smallest of the last few minutes is the path, the rest is queues. */
const WINDOW = 16
/** Peers; the one measured longest ago is forgotten first. */
const MAX_PEERS = 4096

/** The smallest recent round trip to each peer, seconds. */
export class RoundTrips {
  readonly #samples = new Map<string, number[]>()

  add(peer: string, seconds: number): void {
    const samples = [...(this.#samples.get(peer) ?? []), seconds].slice(-WINDOW)
    this.#samples.delete(peer)
    this.#samples.set(peer, samples)
    const [oldest] = this.#samples.keys()
    if (this.#samples.size > MAX_PEERS && oldest !== undefined) this.#samples.delete(oldest)
  }

  /** Undefined until measured. */
  get(peer: string): number | undefined {
    const samples = this.#samples.get(peer)
    return samples === undefined ? undefined : Math.min(...samples)
  }

  /** Half of each round trip, the nearest `count` peers. */
  latencies(count: number): { peer: string; seconds: number }[] {
    return [...this.#samples]
      .map(([peer, samples]) => ({ peer, seconds: Math.min(...samples) / 2 }))
      .sort((a, b) => a.seconds - b.seconds)
      .slice(0, count)
  }
}
