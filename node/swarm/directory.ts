import { asError } from '../../protocol/errors.js'
import { abortable, deadline, DeadlineError } from '../deadline.js'
import type { SwarmDht } from './dht.js'
import type { LogSink } from './libp2p-logger.js'
import type { Links } from './links.js'
import { Periodic } from './periodic.js'
import type { BookEntry, RecordBook } from './record-book.js'
import type { RoundTrips } from './round-trips.js'
import type { StatusExchange } from './status.js'
import type { Directory, MissingLayers, NodeView } from './types.js'

/** Rounds of questions come this often. */
const ROUND_MILLISECONDS = 10_000
/** Long enough for every answer of a swarm that is well; dials of nodes that are gone take longer. */
const REFRESH_MILLISECONDS = 1_500
/** News waits so long for more before it is passed on ... */
const SPREAD_MILLISECONDS = 300
/**
 * ... to so many members: whom it is about has told all of its neighbours already, and each of those passes it on. In a
 * swarm where everybody knows everybody, more would be that many times the questions, and nobody would hear anything new.
 */
const SPREAD_TO = 3
/** The DHT is searched for members that nobody mentioned every so many milliseconds. */
const SEARCH_MILLISECONDS = 60_000
/** A swarm of this size is a full mesh; a larger one is known through answers and the DHT. */
const MAX_NEIGHBOURS = 48
/** Questions and dials under way at a time. */
const PARALLEL = 8
/** Peers asked in one round; the others have their turn in the next. */
const MAX_ASKED = 64
/** Records fetched from the DHT in one search. */
const MAX_FETCHED = 32
/** After a failed dial: doubled each time, up to the longest, which is shorter where somebody waits. */
const RETRY_MILLISECONDS = 5_000
const LONGEST_RETRY_MILLISECONDS = 300_000
const WAITED_FOR_MILLISECONDS = 1_000
/** Three rounds: a node out of reach is gone when nobody has had a newer record of it for so long. */
const SILENCE_MILLISECONDS = 30_000

interface DirectoryParts {
  self: string
  book: RecordBook
  roundTrips: RoundTrips
  links: Links
  status: StatusExchange
  dht: SwarmDht
  /** Connected peers that have said hello. */
  members: () => string[]
  dial: (peer: string, signal: AbortSignal) => Promise<unknown>
  isBanned: (peer: string) => boolean
  now: () => number
  logger: LogSink
}

/** What this node knows of the swarm, refreshed in the background. */
export class SwarmDirectory extends EventTarget implements Directory {
  readonly #parts: DirectoryParts
  readonly #round: Periodic
  readonly #meeting: Periodic
  readonly #search: Periodic
  readonly #retries = new Map<string, Retry>()
  /** Who was asked last comes last. */
  readonly #asked = new Map<string, number>()
  #announced = false
  #spreading: NodeJS.Timeout | undefined

  constructor(parts: DirectoryParts) {
    super()
    this.#parts = parts
    const { logger } = parts
    const round = async (signal: AbortSignal): Promise<void> => {
      await this.#ask(signal)
      this.#meeting.poke()
    }
    this.#round = new Periodic({ work: round, logger }, { milliseconds: ROUND_MILLISECONDS })
    // By itself: dialling nodes that are gone takes long, and must not keep the questions waiting.
    this.#meeting = new Periodic({ work: signal => this.#meet(signal), logger }, { milliseconds: ROUND_MILLISECONDS })
    this.#search = new Periodic(
      { work: signal => this.#searchDht(signal), logger },
      { milliseconds: SEARCH_MILLISECONDS }
    )
  }

  start(): void {
    this.#round.poke()
    this.#search.poke()
  }

  stop(): void {
    clearTimeout(this.#spreading)
    this.#round.stop()
    this.#meeting.stop()
    this.#search.stop()
  }

  nodes(): NodeView[] {
    return this.#parts.book.entries().map(entry => this.#view(entry))
  }

  /** Ends at the latest after `REFRESH_MILLISECONDS`: somebody waits. What is still under way then goes on behind. */
  async refresh({ signal, missing }: { signal?: AbortSignal; missing?: MissingLayers } = {}): Promise<void> {
    using limit = deadline('refreshing the directory', REFRESH_MILLISECONDS, signal)
    const all = Promise.all([
      this.#ask(this.#round.signal).then(() => this.#meet(this.#meeting.signal, WAITED_FOR_MILLISECONDS)),
      this.#searchDht(this.#search.signal),
      missing === undefined ? undefined : this.#seek(missing, this.#search.signal)
    ])
    try {
      await abortable(all, limit.signal)
    } catch (error) {
      signal?.throwIfAborted()
      if (!(error instanceof DeadlineError)) throw error
    }
  }

  /** Looks for nodes beyond those that are known: the ones that say they serve where a gap begins. */
  async #seek({ manifest, layers }: MissingLayers, signal: AbortSignal): Promise<void> {
    const { dht } = this.#parts
    for (const { start } of layers) await this.#fetch(await dht.holders(manifest, start, signal), signal)
  }

  /** A new member: what it knows is asked at once, and whom it knows is dialled. */
  async met(peer: string): Promise<void> {
    this.changed()
    await this.#askPeer(peer, this.#round.signal)
    this.#meeting.poke()
  }

  /** Gives this node's record, and what is news, to everybody who is connected, or only to these. */
  async tell(members = this.#parts.members().slice(0, MAX_ASKED)): Promise<void> {
    const { signal } = this.#round
    await inParallel(members, peer => this.#askPeer(peer, signal))
  }

  /** It is dialled at once: only that tells a node that is gone from a connection that was closed. */
  lost(peer: string): void {
    this.#asked.delete(peer)
    this.#retries.delete(peer)
    this.changed()
    this.#meeting.poke()
  }

  /** Tells listeners, once for all changes of one turn; members soon, when it is news for them. */
  changed(news = false): void {
    if (news) this.#spread()
    if (this.#announced) return
    this.#announced = true
    queueMicrotask(() => {
      this.#announced = false
      this.dispatchEvent(new Event('change'))
    })
  }

  /** Questions carry news, that of one moment together; whom it is about may be worth a connection. */
  #spread(): void {
    if (this.#spreading !== undefined || this.#round.signal.aborted) return
    this.#spreading = setTimeout(() => {
      this.#spreading = undefined
      void this.tell(someOf(this.#parts.members(), SPREAD_TO)).then(() => this.#meeting.poke())
    }, SPREAD_MILLISECONDS)
    this.#spreading.unref()
  }

  #view(entry: BookEntry): NodeView {
    const { self, links, roundTrips, isBanned } = this.#parts
    const { peer, record, seen } = entry
    if (peer === self) return { peer, record, seen, roundTrip: 0, path: 'self' }
    const path = links.path(peer)
    const isGone = path === 'unconnected' && this.#isGone(entry)
    return { peer, record, seen, roundTrip: roundTrips.get(peer), path: isGone ? 'gone' : path, banned: isBanned(peer) }
  }

  /** A node that lives signs its record anew, and others pass it on: one that only this node cannot reach is not gone. */
  #isGone({ peer, record, seen }: BookEntry): boolean {
    const retry = this.#retries.get(peer)
    if (retry === undefined) return false
    return retry.isOutOfReach ? seen + SILENCE_MILLISECONDS < this.#parts.now() : retry.failed >= record.sequence
  }

  async #ask(signal: AbortSignal): Promise<void> {
    this.#parts.book.sweep()
    const due = this.#parts.members().sort((a, b) => (this.#asked.get(a) ?? 0) - (this.#asked.get(b) ?? 0))
    await inParallel(due.slice(0, MAX_ASKED), peer => this.#askPeer(peer, signal))
  }

  async #askPeer(peer: string, signal: AbortSignal): Promise<void> {
    const { links, status, logger, now } = this.#parts
    const connection = links.best(peer)
    if (connection === undefined) return
    this.#asked.set(peer, now())
    try {
      await status.ask(connection, { signal })
      this.changed()
    } catch (error) {
      // Nodes that only ask do not answer; others go away meanwhile.
      logger.trace({ peer, err: asError(error) }, 'no status')
    }
  }

  /** Connects to nodes that are known and not connected, while there are few. */
  async #meet(signal: AbortSignal, longest = LONGEST_RETRY_MILLISECONDS): Promise<void> {
    const { book, self, links, now, members, isBanned } = this.#parts
    const room = MAX_NEIGHBOURS - members().length
    const strangers = book
      .entries()
      .filter(({ peer, record }) => peer !== self && record.addresses.length > 0 && links.best(peer) === undefined)
      .map(({ peer }) => peer)
      .filter(peer => {
        if (isBanned(peer)) return false
        const retry = this.#retries.get(peer)
        return retry === undefined || retry.failed + Math.min(retry.wait, longest) <= now()
      })
    await inParallel(strangers.slice(0, Math.max(0, room)), peer => this.#dial(peer, signal))
  }

  async #dial(peer: string, signal: AbortSignal): Promise<void> {
    try {
      await this.#parts.dial(peer, signal)
      this.#retries.delete(peer)
    } catch {
      // Gone, behind a NAT, or refused: known to `connect()` where somebody waits for it, here only tried again later.
      this.#retries.set(peer, this.#retryAfter(peer))
      this.changed()
    }
  }

  #retryAfter(peer: string): Retry {
    const { book, now } = this.#parts
    const before = this.#retries.get(peer)
    if (before === undefined) return { failed: now(), wait: RETRY_MILLISECONDS, isOutOfReach: false }
    const hasSigned = (book.get(peer)?.record.sequence ?? 0) > before.failed
    return {
      failed: now(),
      wait: Math.min(before.wait * 2, LONGEST_RETRY_MILLISECONDS),
      isOutOfReach: before.isOutOfReach || hasSigned
    }
  }

  async #searchDht(signal: AbortSignal): Promise<void> {
    for (const peer of this.#retries.keys()) if (this.#parts.book.get(peer) === undefined) this.#retries.delete(peer)
    // Without peers kad-dht would wait for one.
    if (this.#parts.members().length === 0) return
    await this.#fetch(await this.#parts.dht.members(signal), signal)
  }

  async #fetch(peers: string[], signal: AbortSignal): Promise<void> {
    const { book, dht, self } = this.#parts
    const unknown = peers.filter(peer => peer !== self && book.get(peer) === undefined)
    await inParallel(unknown.slice(0, MAX_FETCHED), peer => dht.fetch(peer, signal))
    if (unknown.length > 0) await this.#meet(this.#meeting.signal)
  }
}

/** After a dial that failed. */
interface Retry {
  /** When, milliseconds since 1970. */
  failed: number
  /** How long until the next one, milliseconds. */
  wait: number
  /** It has signed a record between two of them, and so lives: another failed dial says nothing new. */
  isOutOfReach: boolean
}

/** At most `count` of them, any. */
function someOf<T>(items: readonly T[], count: number): T[] {
  const left = [...items]
  const taken: T[] = []
  while (taken.length < count && left.length > 0) taken.push(...left.splice(Math.floor(Math.random() * left.length), 1))
  return taken
}

async function inParallel<T>(items: T[], work: (item: T) => Promise<void>): Promise<void> {
  const queue = [...items]
  const worker = async (): Promise<void> => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await work(item)
  }
  await Promise.all(Array.from({ length: Math.min(PARALLEL, queue.length) }, worker))
}
