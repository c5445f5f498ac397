import { setMaxListeners } from 'node:events'
import { asError } from '../../protocol/errors.js'
import { DeadlineError } from '../deadline.js'
import { ModelError } from './errors.js'
import type { PaceSettings } from './pace.js'
import { PieceQueue, type WantedPiece } from './piece-queue.js'
import { BadPieceError, type OpenPieceStream, requestPieces } from './piece-request.js'

export interface FetchSettings extends PaceSettings {
  /** Pieces in one request: small, so that what a lost peer had is soon asked for elsewhere. */
  piecesPerRequest: number
  /** Requests to one peer at a time: the second one hides the round trip. */
  requestsPerPeer: number
  /** Peers that are asked at a time. */
  peers: number
  openMilliseconds: number
  /** Before a peer that failed is asked again; doubles with each failure, up to `longestRetryMilliseconds`. */
  retryMilliseconds: number
  longestRetryMilliseconds: number
  /** Failures of a peer, one after another, after which it is not asked any more. */
  failures: number
  /** Times that a peer may say, one after another, that it is busy. */
  busy: number
}

export const FETCH_DEFAULTS: FetchSettings = {
  piecesPerRequest: 16,
  requestsPerPeer: 2,
  peers: 4,
  openMilliseconds: 10_000,
  silenceMilliseconds: 30_000, // bytes come in frames of 64 KiB
  bytesPerSecond: 4096, // many may share a slow uplink
  retryMilliseconds: 500,
  longestRetryMilliseconds: 5_000,
  failures: 4,
  busy: 20
}

/** A peer that may have pieces. */
export interface PieceHolder<P extends WantedPiece> {
  peer: string
  has: (piece: P) => boolean
}

/** A peer sent wrong bytes and is not asked any more. */
export interface BadPiece {
  peer: string
  hash: string
  /** The bytes have the right hash, and are a manifest that nobody honest keeps. */
  isLie?: true
}

export interface FetchJob<P extends WantedPiece> {
  /** Manifest hash, hex. */
  manifest: string
  pieces: Iterable<P>
  /** Asked again before every request: holders come and go. */
  holders: () => PieceHolder<P>[]
  openStream: OpenPieceStream
  /** A checked piece, and who sent it. Its failure ends the fetch. */
  onPiece: (piece: P, data: Uint8Array, peer: string) => Promise<void> | void
  onBadPiece?: ((bad: BadPiece) => void) | undefined
  signal?: AbortSignal | undefined
}

/**
 * Fetches pieces from several peers at once, each piece from one of them at a time.
 * @throws ModelError PIECES_UNAVAILABLE when nobody is left to ask; the error of `onPiece`; the signal's reason.
 */
export async function fetchPieces<P extends WantedPiece>(job: FetchJob<P>, settings: FetchSettings): Promise<void> {
  await new Fetch(job, settings).run()
}

/** What is known of a peer in one fetch. */
interface PeerState {
  requests: number
  /** Requests at a time: fewer for a peer that has said that it is busy. */
  most: number
  failures: number
  busy: number
  /** Milliseconds of `performance.now()`: not asked before. */
  notBefore: number
  /** Why it is not asked any more. */
  excluded: string | undefined
}

class Fetch<P extends WantedPiece> {
  private readonly job: FetchJob<P>
  private readonly settings: FetchSettings
  private readonly queue: PieceQueue<P>
  private readonly peers = new Map<string, PeerState>()
  private readonly running = new Set<Promise<void>>()
  private readonly controller = new AbortController()
  private wake: () => void = () => undefined

  constructor(job: FetchJob<P>, settings: FetchSettings) {
    this.job = job
    this.settings = settings
    this.queue = new PieceQueue(job.pieces)
    // A few for every request.
    setMaxListeners(8 * settings.peers * settings.requestsPerPeer, this.controller.signal)
  }

  async run(): Promise<void> {
    const { signal } = this.job
    signal?.throwIfAborted()
    const onAbort = (): void => this.stop(signal?.reason)
    signal?.addEventListener('abort', onAbort, { once: true })
    try {
      while (!this.queue.finished) {
        const { promise, resolve } = Promise.withResolvers<undefined>()
        this.wake = () => resolve(undefined)
        const pause = this.startRequests()
        if (this.running.size === 0 && pause === undefined) throw this.unavailable()
        const timer = pause === undefined ? undefined : setTimeout(this.wake, pause)
        await promise
        clearTimeout(timer)
        this.controller.signal.throwIfAborted()
      }
    } finally {
      signal?.removeEventListener('abort', onAbort)
      this.controller.abort(new ModelError('PIECES_MISSING', 'the fetch is over'))
      await Promise.allSettled(this.running)
    }
  }

  /** Starts what may be started; returns the milliseconds until a resting peer may be asked, if one is wanted. */
  private startRequests(): number | undefined {
    const now = performance.now()
    let pause: number | undefined
    for (const holder of this.candidates()) {
      const state = this.state(holder.peer)
      if (state.notBefore > now) {
        if (this.queue.wants(holder.peer, holder.has)) pause = Math.min(pause ?? Infinity, state.notBefore - now)
        continue
      }
      while (state.requests < state.most && this.mayAsk(state)) {
        const pieces = this.queue.take(holder.peer, holder.has, this.settings.piecesPerRequest)
        if (pieces.length === 0) break
        this.start(holder.peer, state, pieces)
      }
    }
    return pause
  }

  /** Those who may be asked, the idle and reliable ones first. */
  private candidates(): PieceHolder<P>[] {
    const rank = ({ peer }: PieceHolder<P>): number => this.state(peer).failures * 100 + this.state(peer).requests
    return this.job
      .holders()
      .filter(({ peer }) => this.state(peer).excluded === undefined)
      .sort((a, b) => rank(a) - rank(b))
  }

  private mayAsk(state: PeerState): boolean {
    if (state.requests > 0) return true
    return [...this.peers.values()].filter(({ requests }) => requests > 0).length < this.settings.peers
  }

  private start(peer: string, state: PeerState, pieces: P[]): void {
    state.requests += 1
    const request = this.request(peer, state, pieces).finally(() => {
      state.requests -= 1
      this.running.delete(request)
      this.wake()
    })
    this.running.add(request)
  }

  /** Never rejects. */
  private async request(peer: string, state: PeerState, pieces: P[]): Promise<void> {
    const { manifest, openStream } = this.job
    const { openMilliseconds } = this.settings
    const { signal } = this.controller
    const options = { manifest, peer, pieces, openStream, openMilliseconds, pace: this.settings, signal }
    const awaited = new Set(pieces)
    try {
      for await (const { piece, data } of requestPieces(options)) {
        awaited.delete(piece)
        if (data === undefined) this.queue.refuse(piece, peer)
        else await this.keep(piece, data, peer)
        state.failures = 0
        state.busy = 0
      }
    } catch (error) {
      if (!signal.aborted) this.failed(peer, state, asError(error))
    } finally {
      for (const piece of awaited) this.queue.release(piece)
    }
  }

  private async keep(piece: P, data: Uint8Array, peer: string): Promise<void> {
    try {
      await this.job.onPiece(piece, data, peer)
      this.queue.done(piece)
    } catch (error) {
      this.stop(error)
      throw error
    }
  }

  private failed(peer: string, state: PeerState, error: Error): void {
    if (error instanceof BadPieceError) {
      state.excluded = error.message
      this.job.onBadPiece?.({ peer, hash: error.hash })
      return
    }
    const busy = error instanceof ModelError && error.code === 'PEER_BUSY'
    // Half as many streams on a slow link are twice as fast each.
    if (busy || error instanceof DeadlineError) state.most = 1
    if (busy && state.requests > 1) return // it serves this node's other request
    if (busy) state.busy += 1
    else state.failures += 1
    const pause = this.settings.retryMilliseconds * 2 ** (state.busy + state.failures - 1)
    state.notBefore = performance.now() + Math.min(pause, this.settings.longestRetryMilliseconds)
    if (state.failures >= this.settings.failures || state.busy >= this.settings.busy) state.excluded = error.message
  }

  private stop(reason: unknown): void {
    this.controller.abort(reason)
    this.wake()
  }

  private state(peer: string): PeerState {
    const known = this.peers.get(peer)
    if (known) return known
    const most = this.settings.requestsPerPeer
    const state: PeerState = { requests: 0, most, failures: 0, busy: 0, notBefore: 0, excluded: undefined }
    this.peers.set(peer, state)
    return state
  }

  private unavailable(): ModelError {
    const missing = this.queue.missing()
    const tensors = [...new Set(missing.flatMap(piece => piece.tensors))]
    const excluded = [...this.peers].flatMap(([peer, { excluded }]) => (excluded ? [{ peer, reason: excluded }] : []))
    const what = tensors.length === 0 ? '' : ` of ${tensors.slice(0, 3).join(', ')}${tensors.length > 3 ? ', ...' : ''}`
    const why = excluded[0] === undefined ? 'no peer that has them is here' : `last failure: ${excluded[0].reason}`
    const message = `${missing.length} pieces${what} cannot be fetched (${why}); try again when more peers are online`
    return new ModelError('PIECES_UNAVAILABLE', message, { details: { missing: missing.length, tensors, excluded } })
  }
}
