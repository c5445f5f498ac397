import { rowsPerFrame } from '../../protocol/hidden-states.js'
import { ProtocolError } from '../../protocol/protocol-error.js'
import type { NextStage, Open, StageReply, StageRequest } from '../../protocol/stage.js'
import type { Drainable } from '../availability/types.js'
import { abortable, deadline } from '../deadline.js'
import type { Reason } from '../trust/reasons.js'
import { Trust } from '../trust/trust.js'
import { MAX_SESSIONS, MAX_SESSIONS_PER_PEER, SESSION_SILENCE_MS, SWEEP_MS } from './constants.js'
import { JournalShelf } from './journal.js'
import type { HiddenStateSink, RelayHandlers } from './relay-link.js'
import { NoRoomError } from './room.js'
import type { Lease, ServedShard } from './served-shard.js'
import type { ShardRegistry } from './shard-registry.js'
import { StageSession } from './stage-session.js'

export interface StageHostParts {
  shards: Pick<ShardRegistry, 'find'>
  openRelay: (next: NextStage, handlers: RelayHandlers) => Promise<HiddenStateSink>
  /** Counts refusals and keeps peers' limits; by default one of its own. */
  trust?: Trust
  /** This node's own peer id: its owner's sessions are not limited. */
  self?: string
  /** Whether a peer says that it serves layers, and so may act on an origin's order. */
  isStage?: (peer: string) => boolean
  /** What its sessions keep for replays; by default one of its own. */
  journals?: JournalShelf
  /** Milliseconds, monotonic. */
  now: () => number
}

/** An origin's end of a stage: the same whether it is called directly or over a stream. */
export interface StagePort {
  /** A fault ends the port; it never throws. */
  receive(request: StageRequest): void
  /** The origin is gone: frees everything. */
  close(): void
}

interface HostedSession {
  shard: ServedShard
  session: StageSession
  peer: string
  /** Who sent it steps: the first two of them, since only one that is the only one can be blamed. */
  senders: Set<string>
}

const SHUTTING_DOWN = 'this node is shutting down'

/** Runs this node's stages of everybody's sessions. */
export class StageHost implements Drainable {
  readonly #parts: StageHostParts
  readonly #sessions = new Map<string, HostedSession>()
  readonly #journals: JournalShelf
  readonly trust: Trust
  #sweeper: NodeJS.Timeout | undefined
  /** Why no sessions are taken. */
  #closed: string | undefined
  /** Called when the last session has ended. */
  #onEmpty: () => void = () => undefined

  constructor(parts: StageHostParts) {
    this.#parts = parts
    this.#journals = parts.journals ?? new JournalShelf()
    this.trust = parts.trust ?? new Trust()
  }

  start(): void {
    this.#sweeper ??= setInterval(() => this.sweep(), SWEEP_MS).unref()
  }

  /** Ends every session: their origins are told `LEAVING`. */
  stop(): void {
    clearInterval(this.#sweeper)
    this.#sweeper = undefined
    this.#closed = SHUTTING_DOWN
    this.evict(SHUTTING_DOWN)
  }

  async drain({
    deadlineMs,
    why = SHUTTING_DOWN,
    signal
  }: Parameters<Drainable['drain']>[0]): Promise<{ left: number }> {
    this.#closed = why
    for (const { session } of [...this.#sessions.values()]) session.askToMove(deadlineMs)
    const empty = Promise.withResolvers<undefined>()
    this.#onEmpty = () => empty.resolve(undefined)
    if (this.#sessions.size === 0) return { left: 0 }
    using limit = deadline('draining', deadlineMs, signal)
    await abortable(empty.promise, limit.signal).catch(() => undefined) // how many are left says it all
    return { left: this.#sessions.size }
  }

  /** Asks the origins of a shard's sessions to move them. */
  moveFrom(shard: ServedShard, deadlineMs: number): void {
    const leaving = [...this.#sessions.values()].filter(hosted => hosted.shard === shard)
    for (const { session } of leaving) session.askToMove(deadlineMs)
  }

  evict(why: string): void {
    this.#failAll(new ProtocolError('LEAVING', why))
  }

  reopen(): void {
    this.#closed = undefined
  }

  /** Sessions under way: those that rest are not. */
  get sessions(): number {
    return this.#underWay().length
  }

  /** Refusals and faults since the start, by reason. */
  get refused(): Readonly<Record<string, number>> {
    return this.trust.refused
  }

  /** A new origin, `peer`; what it has to be told goes to `reply`. */
  connect(peer: string, reply: (reply: StageReply) => void): StagePort {
    let session: StageSession | undefined
    let over = false
    const refuse = (error: ProtocolError): void => {
      over = true
      this.count(error.code)
      reply({ type: 'fault', fault: { code: error.code, message: error.message } })
    }
    return {
      receive: request => {
        if (over) return
        try {
          if (request.type === 'step') this.#sentBy(session, peer)
          if (request.type === 'open') session = this.#open(peer, request.open, { reply, opened: session })
          else handle(session, request)
          // Whoever leaves waits for the sessions under way, and this one is not any more.
          if (request.type === 'rest' && this.#closed !== undefined) session?.askToMove(0)
        } catch (error) {
          if (!(error instanceof ProtocolError)) throw error
          if (session === undefined) refuse(error)
          else session.fail(error)
        }
      },
      close: () => {
        over = true
        session?.end()
      }
    }
  }

  /** The session that a relay stream may feed. Throws `UNKNOWN_SESSION` or `UNAUTHORIZED`. */
  admit(id: string, secret: Uint8Array, peer: string): StageSession {
    const hosted = this.#sessions.get(id)
    if (hosted === undefined) throw new ProtocolError('UNKNOWN_SESSION', 'no such session here')
    if (!hosted.session.admits(secret)) throw new ProtocolError('UNAUTHORIZED', 'wrong secret for this session')
    this.#sentBy(hosted.session, peer)
    return hosted.session
  }

  /** Notes a refusal, and who alone can have caused it. */
  count(reason: Reason, culprit?: string): void {
    this.trust.refuse(reason, culprit)
  }

  /** Whom a wrong secret blames: not a stage, which may have it from an origin. */
  guesser(peer: string): string | undefined {
    return this.#parts.isStage?.(peer) === true ? undefined : peer
  }

  /** The engine died: what its sessions had computed is gone. */
  engineLost(): void {
    this.#failAll(new ProtocolError('ENGINE_FAILED', "this stage's engine stopped and is being restarted"))
  }

  /** Ends sessions that have been silent for too long. */
  sweep(): void {
    const limit = this.#parts.now() - SESSION_SILENCE_MS
    for (const { session } of [...this.#sessions.values()]) {
      if (session.active < limit) {
        session.fail(new ProtocolError('TIMEOUT', `nothing came for ${SESSION_SILENCE_MS / 1_000} s`))
      }
    }
  }

  #open(
    peer: string,
    open: Open,
    { reply, opened }: { reply: (reply: StageReply) => void; opened: StageSession | undefined }
  ): StageSession {
    if (opened !== undefined) throw new ProtocolError('MALFORMED', 'a second open on one stream')
    this.#checkRoom(peer, open.session)
    const shard = this.#find(open)
    const lease = reserve(shard, open.context, peer === this.#parts.self ? undefined : peer)
    const journal = this.#journals.open()
    const session = new StageSession(
      {
        shard,
        lease,
        journal,
        reply,
        openRelay: this.#parts.openRelay,
        onEnd: fault => {
          const culprit = fault && this.#culprit(open, fault)
          this.#sessions.delete(open.session)
          this.#journals.close(journal)
          if (this.#sessions.size === 0) this.#onEmpty()
          if (fault !== undefined) this.count(fault.code, culprit)
        },
        now: this.#parts.now
      },
      open
    )
    this.#sessions.set(open.session, { shard, session, peer, senders: new Set() })
    const { batch, width } = shard.facts.loaded
    reply({ type: 'opened', rowsPerStep: Math.min(batch, rowsPerFrame(open.dtype, width)) })
    return session
  }

  #sentBy(session: StageSession | undefined, peer: string): void {
    const senders = session && this.#sessions.get(session.id)?.senders
    if (senders !== undefined && senders.size < 2) senders.add(peer)
  }

  /**
   * Who alone can have caused a session's fault. Tokens are the origin's own; hidden states may be another stage's that
   * it passes on, and a stage that passes on what it was given answers only for what no engine gives: NaN and infinity.
   */
  #culprit({ session, start }: Open, { code }: ProtocolError): string | undefined {
    const hosted = this.#sessions.get(session)
    if (hosted === undefined || start === 0) return hosted?.peer
    const [only, ...others] = hosted.senders
    return code === 'NOT_FINITE' && others.length === 0 && only !== hosted.peer ? only : undefined
  }

  #checkRoom(peer: string, id: string): void {
    if (this.#closed !== undefined) throw new ProtocolError('LEAVING', this.#closed)
    if (this.#sessions.has(id)) throw new ProtocolError('MALFORMED', 'this session is open already')
    const underWay = this.#underWay()
    const ofPeer = underWay.filter(hosted => hosted.peer === peer).length
    const tooMany = ofPeer >= MAX_SESSIONS_PER_PEER && peer !== this.#parts.self
    if (underWay.length >= MAX_SESSIONS || tooMany) {
      throw new ProtocolError('BUSY', `${ofPeer} sessions of yours and ${underWay.length} in all are open here`)
    }
  }

  /** Those that rest are bounded by the sequences of the shards, and give way. */
  #underWay(): HostedSession[] {
    return [...this.#sessions.values()].filter(({ session }) => !session.rests)
  }

  #find({ manifest, start, leave }: Open): ServedShard {
    const shard = this.#parts.shards.find(manifest, start, leave)
    if (shard !== undefined) return shard
    throw new ProtocolError('UNKNOWN_MODEL', `layers ${start}-${leave} of ${manifest.slice(0, 12)} are not served here`)
  }

  #failAll(fault: ProtocolError): void {
    for (const { session } of [...this.#sessions.values()]) session.fail(fault)
  }
}

function handle(session: StageSession | undefined, request: Exclude<StageRequest, { type: 'open' }>): void {
  if (session === undefined) throw new ProtocolError('UNKNOWN_SESSION', `${request.type} before open`)
  switch (request.type) {
    case 'link':
      void session.link(request.link) // answers by itself, whatever happens
      return
    case 'step':
      session.receive(request.step)
      return
    case 'replayed':
      session.replayed()
      return
    case 'rest':
      session.rest()
      return
    case 'resume':
      session.resume(request.context)
      return
    case 'close':
      session.end()
  }
}

function reserve(shard: ServedShard, context: number, peer: string | undefined): Lease {
  const { context: most } = shard.facts.loaded
  // Not BUSY: waiting does not help.
  if (context > most) throw new ProtocolError('CONTEXT_FULL', `${context} positions asked, ${most} in all`)
  try {
    return shard.reserve(context, peer)
  } catch (error) {
    if (error instanceof NoRoomError) throw new ProtocolError('BUSY', error.message, { cause: error })
    throw error
  }
}
