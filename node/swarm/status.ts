import type { Connection } from '@libp2p/interface'
import { STATUS_PROTOCOL } from '../../protocol/ids.js'
import { MAX_STATUS_FRAME_BYTES } from '../../protocol/limits.js'
import {
  decodeStatusReply,
  decodeStatusRequest,
  encodeStatusReply,
  encodeStatusRequest
} from '../../protocol/status-reply.js'
import { deadline } from '../deadline.js'
import type { Trust } from '../trust/trust.js'
import type { Clocks } from './clocks.js'
import type { RecordBook } from './record-book.js'
import type { RoundTrips } from './round-trips.js'
import { reasonOf } from './stream-reasons.js'
import { answer, request, type StreamHandler } from './wire.js'

/** One question: two round trips and the verification of what comes. */
const STATUS_MILLISECONDS = 5_000
/** Records of others in an answer. */
const KNOWN_RECORDS = 64
/** Records of others in a question. */
const NEWS_RECORDS = 32
/** Their bytes together, below what a frame holds. */
const KNOWN_BYTES = MAX_STATUS_FRAME_BYTES / 2

export interface StatusParts {
  book: RecordBook
  roundTrips: RoundTrips
  clocks: Clocks
  trust: Pick<Trust, 'refuse'>
  /** This node's own envelope, fresh; undefined for one that only asks. */
  own: () => Promise<Uint8Array | undefined>
}

/** `/flambeau/status/1.0.0`: records for records, and the round trip. */
export class StatusExchange {
  readonly #parts: StatusParts

  constructor(parts: StatusParts) {
    this.#parts = parts
  }

  /** The answering side: takes the asker's record, gives its own and others'. */
  handler(own: () => Promise<Uint8Array>): StreamHandler {
    return answer(
      async (bytes, connection) => {
        const peer = connection.remotePeer.toString()
        const { record, known: news } = decodeStatusRequest(bytes)
        if (record !== undefined) await this.#learnOwn(record, peer)
        for (const envelope of news) await this.#learn(envelope, peer)
        const known = within(this.#parts.book.envelopes(KNOWN_RECORDS, peer), KNOWN_BYTES)
        return encodeStatusReply({ record: await own(), known })
      },
      { maxFrameBytes: MAX_STATUS_FRAME_BYTES, milliseconds: STATUS_MILLISECONDS }
    )
  }

  /**
   * Asks the peer at the other end of `connection`, and tells it this node's record.
   * @throws what the stream died of, or DeadlineError
   */
  async ask(connection: Connection, { signal: parent }: { signal?: AbortSignal } = {}): Promise<void> {
    const peer = connection.remotePeer.toString()
    using limit = deadline(`the status of ${peer}`, STATUS_MILLISECONDS, parent)
    const { signal } = limit
    const record = await this.#parts.own()
    const known = within(this.#parts.book.news(NEWS_RECORDS, peer), KNOWN_BYTES)
    const stream = await connection.newStream(STATUS_PROTOCOL, { signal })
    const asked = performance.now()
    const bytes = await request(stream, encodeStatusRequest({ record, known }), {
      maxFrameBytes: MAX_STATUS_FRAME_BYTES,
      signal
    })
    this.#parts.roundTrips.add(peer, (performance.now() - asked) / 1000)
    const reply = decodeStatusReply(bytes)
    await this.#learnOwn(reply.record, peer)
    for (const envelope of reply.known) await this.#learn(envelope, peer)
  }

  /** Old ones are normal, and what another version does not take either; but who passes on has verified signatures. */
  async #learn(envelope: Uint8Array, from: string): Promise<void> {
    try {
      await this.#parts.book.learn(envelope)
    } catch (error) {
      if (reasonOf(error) === 'FORGED_RECORD') this.#parts.trust.refuse('FORGED_RECORD', from)
    }
  }

  /** What a peer signed a moment ago. */
  async #learnOwn(envelope: Uint8Array, peer: string): Promise<void> {
    const { book, clocks, trust } = this.#parts
    try {
      await book.learn(envelope, peer)
      clocks.right(peer)
    } catch (error) {
      clocks.refused(peer, error)
      const reason = reasonOf(error)
      // Another version may take what this one calls malformed.
      if (reason !== undefined) trust.refuse(reason, reason === 'FORGED_RECORD' ? peer : undefined)
    }
  }
}

/** As many from the start as `bytes` hold. */
function within(envelopes: Uint8Array[], bytes: number): Uint8Array[] {
  let used = 0
  return envelopes.filter(envelope => {
    used += envelope.byteLength
    return used <= bytes
  })
}
