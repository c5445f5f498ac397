import type { Chunk } from '../swarm/wire.js'
import { abortable, deadline } from '../deadline.js'

export interface PaceSettings {
  /** Milliseconds without a byte. */
  silenceMilliseconds: number
  /** Bytes a second, of a piece and after the first silence: who sends less is not waited for. */
  bytesPerSecond: number
}

/** Ends the wait for bytes that come too slowly, however large what they belong to is. */
export class Pace {
  private readonly settings: PaceSettings
  private bytes = 0
  private waited = 0

  constructor(settings: PaceSettings) {
    this.settings = settings
  }

  /** Another piece begins: a fast one before it is no credit. */
  restart(): void {
    this.bytes = 0
    this.waited = 0
  }

  /** it-pipe transform that changes nothing. Only the waiting counts, not what the reader does between. @throws DeadlineError */
  async *watch(source: AsyncGenerator<Chunk>, signal: AbortSignal): AsyncGenerator<Chunk> {
    try {
      for (;;) {
        const chunk = await this.next(source, signal)
        if (chunk.done === true) return
        yield chunk.value
      }
    } finally {
      // Not awaited: after a deadline the source ends only with its stream.
      source.return(undefined).catch(() => undefined)
    }
  }

  private async next(source: AsyncGenerator<Chunk>, signal: AbortSignal): Promise<IteratorResult<Chunk, unknown>> {
    const { silenceMilliseconds, bytesPerSecond } = this.settings
    const earned = (1000 * this.bytes) / bytesPerSecond
    const left = Math.min(silenceMilliseconds, silenceMilliseconds + earned - this.waited)
    const started = performance.now()
    using limit = deadline('waiting for a piece', Math.max(1, Math.ceil(left)), signal)
    const chunk = await abortable(source.next(), limit.signal)
    this.waited += performance.now() - started
    if (chunk.done !== true) this.bytes += chunk.value.byteLength
    return chunk
  }
}
