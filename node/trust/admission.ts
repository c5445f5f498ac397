import { SERVICE_LIMITS, type Service } from './constants.js'
import { RateLimit } from './rate-limit.js'

const SERVICES = Object.keys(SERVICE_LIMITS) as Service[]

/** How much each peer uses each protocol: streams a second, and streams at a time over all of its connections. */
export class Admission {
  readonly #rates: ReadonlyMap<Service, RateLimit>
  /** Open streams by service and peer: only of peers that have any. */
  readonly #open = new Map<string, number>()

  constructor({ now }: { now: () => number }) {
    this.#rates = new Map(SERVICES.map(service => [service, new RateLimit({ now }, SERVICE_LIMITS[service])]))
  }

  /** A place for one stream, to be disposed of with it; undefined where that is one too many. */
  enter(peer: string, service: Service): Disposable | undefined {
    const key = `${service} ${peer}`
    const open = this.#open.get(key) ?? 0
    // The rate first: who is refused for its open streams has asked, too.
    if (this.#rates.get(service)?.take(peer) !== true || open >= SERVICE_LIMITS[service].streams) return undefined
    this.#open.set(key, open + 1)
    return { [Symbol.dispose]: () => this.#leave(key) }
  }

  #leave(key: string): void {
    const open = (this.#open.get(key) ?? 1) - 1
    if (open > 0) this.#open.set(key, open)
    else this.#open.delete(key)
  }
}
