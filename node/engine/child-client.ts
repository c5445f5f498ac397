import { type ChildProcess, spawn } from 'node:child_process'
import type { Duplex } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { Channel, CHANNEL_FD, type Message } from './channel.js'
import { STRUCTURED } from './codec.js'
import { EngineError, type EngineErrorCode } from './errors.js'
import { REPLY, type CallCodecs, type Calls, type LogLevel, type SentError, type SentLog } from './messages.js'

/** The part of a logger (pino's, for one) that is used here. */
export type EngineLogger = Record<LogLevel, (object: object, message: string) => void>

export interface ChildClientParts<C extends Calls<C>> {
  /** The compiled entry point of the child. */
  childModule: URL
  codecs: CallCodecs<C>
  logger: EngineLogger
  onExit: (exit: ChildExit) => void
}

export interface ChildClientSettings {
  /** The code of calls that were under way when the process died. */
  lostCode: EngineErrorCode
  execArgv: string[]
}

export interface ChildExit {
  code: number | null
  signal: string | null
}

interface Pending {
  resolve: (answer: Uint8Array) => void
  reject: (error: Error) => void
  silence: number
  bytes: number
}

/** Calls under way in one child: what waits there is never more than this, nor its payloads more than that. */
export const MAX_PENDING_CALLS = 1024
export const MAX_PENDING_BYTES = 256 * 1024 * 1024
/** Lines of the child's error output that are kept to explain a crash. */
const KEPT_LINES = 40
/** Of one such line, characters; llama.cpp prints some very long ones. */
const MAX_LINE = 500
/** Ids come again after this many calls, long after the first ones were answered. */
const MAX_ID = 0xffffffff
/** A child that was told to go has this long before it is killed, in ms. */
const GOODBYE_MS = 2_000

/**
 * A child process that answers calls. When it dies, or says nothing for longer than a call under way allows, all
 * calls reject; it is not started again here.
 */
export class ChildClient<C extends Calls<C>> {
  readonly #parts: ChildClientParts<C>
  readonly #settings: ChildClientSettings
  readonly #child: ChildProcess
  readonly #channel: Channel | undefined
  readonly #callNames: readonly string[]
  readonly #exited = Promise.withResolvers<undefined>()
  readonly #pending = new Map<number, Pending>()
  readonly #lines: string[] = []
  #unfinishedLine = ''
  #pendingBytes = 0
  #nextId = 1
  #lastHeard = 0
  #watchdog: { timer: NodeJS.Timeout; due: number } | undefined
  #end: { code: EngineErrorCode; message: string } | undefined

  private constructor(parts: ChildClientParts<C>, settings: ChildClientSettings, child: ChildProcess) {
    this.#parts = parts
    this.#settings = settings
    this.#child = child
    this.#callNames = Object.keys(parts.codecs)
    child.on('error', error => this.#onExit({ code: null, signal: null }, error.message))
    // A process that could not be started for want of file descriptors has no streams at all.
    const stream = (child.stdio as ChildProcess['stdio'] | undefined)?.[CHANNEL_FD] as Duplex | undefined
    this.#channel = stream && this.#openChannel(stream)
    const { stderr } = child
    stderr?.setEncoding('utf8').on('data', (text: string) => this.#onErrorOutput(text))
    // Not `exit`: its last words may come after that.
    child.on('close', (code, signal) => this.#onExit({ code, signal }))
  }

  static spawn<C extends Calls<C>>(parts: ChildClientParts<C>, settings: ChildClientSettings): ChildClient<C> {
    const child = spawn(process.execPath, [...settings.execArgv, fileURLToPath(parts.childModule)], {
      stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
      windowsHide: true,
      // On an abort ggml would start a debugger, if there is one, for a backtrace.
      env: { ...process.env, GGML_NO_BACKTRACE: '1' }
    })
    return new ChildClient<C>(parts, settings, child)
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  /** The process is gone, or about to be: no call will be answered any more. */
  get hasEnded(): boolean {
    return this.#end !== undefined
  }

  /** The last lines of llama.cpp's output. */
  get lastLines(): readonly string[] {
    return this.#lines
  }

  /**
   * @param silence ms that the child may say nothing at all while this call is under way.
   * @param bytes the size of the payload, for the bound on what is under way.
   */
  call<K extends keyof C & string>(
    call: K,
    request: C[K]['request'],
    { silence, bytes = 0 }: { silence: number; bytes?: number }
  ): Promise<C[K]['answer']> {
    if (this.#end !== undefined) return Promise.reject(new EngineError(this.#end.code, this.#end.message))
    if (this.#pending.size >= MAX_PENDING_CALLS || this.#pendingBytes + bytes > MAX_PENDING_BYTES) {
      return Promise.reject(
        new EngineError('QUEUE_FULL', `${this.#pending.size} calls are under way already: try later`)
      )
    }
    const codec = this.#parts.codecs[call]
    const body = codec.request.encode(request)
    const { promise, resolve, reject } = Promise.withResolvers<C[K]['answer']>()
    const id = this.#nextId
    this.#nextId = (id % MAX_ID) + 1
    if (this.#pending.size === 0) this.#lastHeard = performance.now()
    this.#pending.set(id, { resolve: answer => resolve(codec.answer.decode(answer)), reject, silence, bytes })
    this.#pendingBytes += bytes
    this.#channel?.send(id, this.#callNames.indexOf(call), body)
    this.#watch(silence)
    return promise
  }

  /** Lets the child go, kills it if it does not, and waits until it is gone. Calls under way reject. */
  async close(): Promise<void> {
    this.#fail('ENGINE_STOPPED', 'the process was stopped')
    this.#channel?.close()
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), GOODBYE_MS)
    await this.#exited.promise
    clearTimeout(timer)
  }

  kill(): void {
    this.#child.kill('SIGKILL')
  }

  #openChannel(stream: Duplex): Channel {
    return new Channel(stream, {
      onMessage: message => this.#onMessage(message),
      onClose: () => this.#onChannelClosed()
    })
  }

  #onMessage({ id, kind, body }: Message): void {
    this.#lastHeard = performance.now()
    if (kind === REPLY.log) {
      const { level, message } = STRUCTURED.decode(body) as SentLog
      this.#parts.logger[level]({ pid: this.pid, reason: message }, 'from the engine')
      return
    }
    const pending = this.#pending.get(id)
    if (pending === undefined) return
    if (kind === REPLY.answer) pending.resolve(body)
    else {
      const { code, message, details } = STRUCTURED.decode(body) as SentError
      pending.reject(code === undefined ? new Error(message) : new EngineError(code, message, { details }))
    }
    this.#pending.delete(id) // not before: what cannot be read ends the channel, and with it the calls that are left
    this.#pendingBytes -= pending.bytes
  }

  /** A living child that cannot be talked to any more is of no use. */
  #onChannelClosed(): void {
    if (this.#end === undefined) this.kill()
  }

  #onExit(exit: ChildExit, reason?: string): void {
    clearTimeout(this.#watchdog?.timer)
    const how = exit.signal === null ? `with code ${exit.code ?? 'unknown'}` : `by ${exit.signal}`
    this.#fail(this.#settings.lostCode, reason === undefined ? `the process ended ${how}` : `no process: ${reason}`)
    this.#exited.resolve(undefined)
    this.#parts.onExit(exit)
  }

  #fail(code: EngineErrorCode, message: string): void {
    this.#end ??= { code, message }
    const details = { pid: this.pid, lastLines: [...this.#lines] }
    for (const { reject } of this.#pending.values())
      reject(new EngineError(this.#end.code, this.#end.message, { details }))
    this.#pending.clear()
    this.#pendingBytes = 0
  }

  /** llama.cpp's log. It comes by the error output rather than a callback: it may log from threads of its own, and its last words count. */
  #onErrorOutput(text: string): void {
    this.#lastHeard = performance.now()
    const lines = (this.#unfinishedLine + text).split('\n')
    this.#unfinishedLine = (lines.pop() ?? '').slice(0, MAX_LINE)
    for (const line of lines) {
      const short = line.slice(0, MAX_LINE)
      this.#lines.push(short)
      this.#parts.logger[soundsBad(short) ? 'warn' : 'debug']({ pid: this.pid, line: short }, 'from llama.cpp')
    }
    this.#lines.splice(0, this.#lines.length - KEPT_LINES)
  }

  /** Looks at the child's silence in `milliseconds`, or earlier where that is due already. */
  #watch(milliseconds: number): void {
    const due = performance.now() + milliseconds
    if (this.#watchdog !== undefined && this.#watchdog.due <= due) return
    clearTimeout(this.#watchdog?.timer)
    this.#watchdog = { timer: setTimeout(() => this.#checkSilence(), milliseconds), due }
  }

  #checkSilence(): void {
    this.#watchdog = undefined
    if (this.#pending.size === 0) return
    const limit = Math.max(...[...this.#pending.values()].map(({ silence }) => silence))
    const silent = performance.now() - this.#lastHeard
    if (silent < limit) {
      this.#watch(limit - silent)
      return
    }
    this.#fail(this.#settings.lostCode, `the process said nothing for ${Math.round(silent)} ms and was killed`)
    this.kill()
  }
}

function soundsBad(line: string): boolean {
  return /\b(error|failed|abort|assert|exception)/i.test(line)
}
