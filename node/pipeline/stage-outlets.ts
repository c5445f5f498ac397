import { asError } from '../../protocol/errors.js'
import { ProtocolError } from '../../protocol/protocol-error.js'
import type { Link, NextStage, StageReply } from '../../protocol/stage.js'
import type { Step } from '../../protocol/step.js'
import { Feed } from './feed.js'
import type { Journal } from './journal.js'
import type { HiddenStateSink, RelayHandlers } from './relay-link.js'

export interface StageOutletsParts {
  journal: Journal
  openRelay: (next: NextStage, handlers: RelayHandlers) => Promise<HiddenStateSink>
  /** To the origin. */
  reply: (reply: StageReply) => void
  /** The session cannot go on. */
  fail: (error: unknown) => void
}

interface Outlet {
  /** Id of the session at the next stage; undefined through the origin. */
  session: string | undefined
  sink: HiddenStateSink
  feed: Feed
}

/**
 * Where a stage's hidden states go: to the next stage and, while another one is being made ready to take its place, to
 * that one too. Without a next stage they wait in the journal.
 */
export class StageOutlets {
  readonly #parts: StageOutletsParts
  #next: Outlet | undefined
  #aside: Outlet | undefined
  #linking = false
  #closed = false

  constructor(parts: StageOutletsParts) {
    this.#parts = parts
  }

  /**
   * Answers `linked`, or a fault that leaves the session as it was: `UNREACHABLE`, `JOURNAL_GONE`.
   * @throws ProtocolError where the origin breaks the protocol
   */
  async link(link: Link): Promise<void> {
    if (this.#linking) throw new ProtocolError('OUT_OF_ORDER', 'a link came before the one before it was answered')
    if (link.aside && link.next === 'origin')
      throw new ProtocolError('MALFORMED', 'nothing goes aside through the origin')
    if (!link.aside && link.next !== 'origin' && link.next.session === this.#aside?.session) {
      this.#promote(this.#aside, link.liveFrom)
      return
    }
    this.#linking = true
    try {
      await this.#open(link)
    } catch (error) {
      const code = error instanceof ProtocolError && error.code === 'JOURNAL_GONE' ? error.code : 'UNREACHABLE'
      this.#parts.reply({ type: 'fault', fault: { code, message: asError(error).message } })
    } finally {
      this.#linking = false
    }
  }

  /** Sends on what has come into the journal. */
  pump(): void {
    this.#next?.feed.pump()
    this.#aside?.feed.pump()
  }

  /** The stage after this one, which is fed through the origin, has run a replayed step. */
  replayed(): void {
    if (this.#next?.session === undefined) this.#next?.feed.replayed()
  }

  close(): void {
    this.#closed = true
    close(this.#next)
    close(this.#aside)
    this.#next = this.#aside = undefined
  }

  async #open(link: Link): Promise<void> {
    const { next, aside, replay } = link
    if (replay !== undefined && this.#parts.journal.gone) throw journalGone()
    close(this.#aside)
    this.#aside = undefined
    if (!aside) {
      close(this.#next)
      this.#next = undefined
    }
    // Filled once the sink is there; a loss before that is the opening's failure.
    const opened: { outlet?: Outlet } = {}
    const handlers = {
      onLost: (error: Error) => opened.outlet && this.#lose(opened.outlet, error),
      onReplayed: () => opened.outlet?.feed.replayed()
    }
    const sink = next === 'origin' ? this.#throughOrigin() : await this.#parts.openRelay(next, handlers)
    if (this.#closed) {
      sink.close()
      return
    }
    const session = next === 'origin' ? undefined : next.session
    const outlet = { session, sink, feed: this.#feed(link, () => opened.outlet) }
    opened.outlet = outlet
    if (aside) this.#aside = outlet
    else this.#next = outlet
    this.#parts.reply({ type: 'linked' })
    outlet.feed.pump()
  }

  #feed({ liveFrom, replay, aside }: Link, of: () => Outlet | undefined): Feed {
    const { journal, reply } = this.#parts
    const parts = {
      journal,
      send: (step: Step): void => this.#send(of(), step),
      onCaughtUp: () => reply({ type: 'caught-up' }),
      onGone: () => {
        const outlet = of()
        if (outlet !== undefined) this.#lose(outlet, journalGone())
      }
    }
    return new Feed(parts, { liveFrom: aside ? Infinity : liveFrom, replay })
  }

  #send(outlet: Outlet | undefined, step: Step): void {
    if (outlet === undefined) return
    try {
      outlet.sink.send(step)
    } catch (error) {
      if (error instanceof ProtocolError) this.#parts.fail(error)
      else this.#lose(outlet, asError(error))
    }
  }

  #promote(aside: Outlet, liveFrom: number): void {
    close(this.#next)
    this.#next = aside
    this.#aside = undefined
    this.#parts.reply({ type: 'linked' })
    aside.feed.goLive(liveFrom)
  }

  #lose(outlet: Outlet, error: Error): void {
    close(outlet)
    if (outlet === this.#aside) this.#aside = undefined
    if (outlet !== this.#next) return
    this.#next = undefined
    this.#parts.reply({ type: 'unlinked', message: error.message })
  }

  #throughOrigin(): HiddenStateSink {
    return { send: step => this.#parts.reply({ type: 'forward', step }), close: () => undefined }
  }
}

function close(outlet: Outlet | undefined): void {
  outlet?.feed.stop()
  outlet?.sink.close()
}

const journalGone = (): ProtocolError =>
  new ProtocolError('JOURNAL_GONE', 'what this stage has sent is no longer here: replay from an earlier one')
