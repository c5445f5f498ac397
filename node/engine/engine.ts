import { abortable } from '../deadline.js'
import { asError } from '../../protocol/errors.js'
import { ChildClient, type ChildExit, type EngineLogger } from './child-client.js'
import { EngineError } from './errors.js'
import { ENGINE_CODECS, type EngineCalls } from './messages.js'
import type {
  ContextSettings,
  Engine,
  EngineEvents,
  EngineInfo,
  EngineSettings,
  EngineState,
  EngineStep,
  EngineStepResult,
  LoadedShard,
  ShardFile
} from './types.js'

export interface EngineParts {
  /** The compiled `child.js`. */
  childModule: URL
  logger: EngineLogger
}

export interface EngineTimes {
  /** How long the child may be silent while it starts, loads a shard or computes, in ms. */
  startSilence: number
  loadSilence: number
  stepSilence: number
  /** The first pause before a restart, in ms; doubled each time up to the last one. */
  firstRestart: number
  lastRestart: number
  /** A child that lived this long was healthy: the next pause is the first one again. */
  healthy: number
}

/** A GPU's libraries and drivers take seconds to load, a large shard minutes, a full batch on a slow CPU half a minute. */
export const ENGINE_TIMES: EngineTimes = {
  startSilence: 60_000,
  loadSilence: 600_000,
  stepSilence: 120_000,
  firstRestart: 250,
  lastRestart: 30_000,
  healthy: 60_000
}

/** Of an engine that compares models: one that is larger than the memory is read from disk at every step. */
export const COMPARISON_TIMES: Partial<EngineTimes> = { stepSilence: 3_600_000 }

/** The engine's process, seen from the daemon: started, watched, and started again when it dies. */
export class EngineProcess implements Engine {
  readonly #parts: EngineParts
  readonly #settings: EngineSettings
  readonly #times: EngineTimes
  readonly #events = new EventTarget()
  #state: EngineState = 'stopped'
  #info: EngineInfo | undefined
  #client: ChildClient<EngineCalls> | undefined
  #starting: Promise<EngineInfo> | undefined
  #restartTimer: NodeJS.Timeout | undefined
  #restartDelay: number
  #readySince = 0

  constructor(parts: EngineParts, settings: EngineSettings, times: Partial<EngineTimes> = {}) {
    this.#parts = parts
    this.#settings = settings
    this.#times = { ...ENGINE_TIMES, ...times }
    this.#restartDelay = this.#times.firstRestart
  }

  get state(): EngineState {
    return this.#state
  }

  get info(): EngineInfo | undefined {
    return this.#info
  }

  get pid(): number | undefined {
    return this.#client?.pid
  }

  /** Starts the child, or waits for one that is starting. A first start that fails is not tried again. */
  async start({ signal }: { signal?: AbortSignal } = {}): Promise<EngineInfo> {
    if (this.#state === 'ready' && this.#info !== undefined) return this.#info
    if (this.#state === 'stopped') this.#starting = this.#firstStart()
    if (this.#starting === undefined) throw stopped('restarting')
    return signal === undefined ? this.#starting : abortable(this.#starting, signal)
  }

  async stop(): Promise<void> {
    this.#state = 'stopped'
    this.#info = undefined
    clearTimeout(this.#restartTimer)
    const client = this.#client
    this.#client = undefined
    await client?.close()
  }

  async load(
    shard: ShardFile,
    settings: ContextSettings,
    { signal }: { signal?: AbortSignal } = {}
  ): Promise<LoadedShard> {
    const client = this.#ready()
    signal?.throwIfAborted()
    const loading = client.call('load', { shard, settings }, { silence: this.#times.loadSilence })
    try {
      return await (signal === undefined ? loading : abortable(loading, signal))
    } catch (error) {
      if (signal?.aborted === true) void unloadLater(client, loading, this.#times.stepSilence)
      throw await withLastWords(error, client)
    }
  }

  async unload(shard: number): Promise<void> {
    await this.#ready().call('unload', { shard }, { silence: this.#times.stepSilence })
  }

  step(step: EngineStep): Promise<EngineStepResult> {
    const client = this.#client
    if (this.#state !== 'ready' || client === undefined) return Promise.reject(stopped(this.#state))
    const bytes = (step.hidden?.bytes.byteLength ?? 0) + (step.tokens?.byteLength ?? 0)
    return client.call('step', step, { silence: this.#times.stepSilence, bytes })
  }

  async release(shard: number, sequence: number): Promise<void> {
    await this.#ready().call('release', { shard, sequence }, { silence: this.#times.stepSilence })
  }

  addEventListener<K extends keyof EngineEvents>(type: K, listener: (event: EngineEvents[K]) => void): void {
    this.#events.addEventListener(type, listener as (event: Event) => void)
  }

  removeEventListener<K extends keyof EngineEvents>(type: K, listener: (event: EngineEvents[K]) => void): void {
    this.#events.removeEventListener(type, listener as (event: Event) => void)
  }

  #ready(): ChildClient<EngineCalls> {
    if (this.#state !== 'ready' || this.#client === undefined) throw stopped(this.#state)
    return this.#client
  }

  async #firstStart(): Promise<EngineInfo> {
    this.#state = 'starting'
    try {
      return await this.#boot()
    } catch (error) {
      this.#state = 'stopped'
      throw error
    } finally {
      this.#starting = undefined
    }
  }

  /** A new child, started; on failure nothing is left of it. */
  async #boot(): Promise<EngineInfo> {
    const { childModule, logger } = this.#parts
    const client = ChildClient.spawn<EngineCalls>(
      { childModule, codecs: ENGINE_CODECS, logger, onExit: exit => this.#onExit(client, exit) },
      { lostCode: 'ENGINE_LOST', execArgv: [] }
    )
    this.#client = client
    try {
      this.#info = await client.call('start', this.#settings, { silence: this.#times.startSilence })
    } catch (error) {
      if (this.#client === client) this.#client = undefined
      await client.close()
      throw error
    }
    this.#state = 'ready'
    this.#readySince = performance.now()
    logger.info({ pid: client.pid, backend: this.#info.backend, version: this.#info.version }, 'engine is ready')
    return this.#info
  }

  /** A child that dies before it is ready is dealt with by whoever started it. */
  #onExit(client: ChildClient<EngineCalls>, exit: ChildExit): void {
    if (client !== this.#client || this.#state !== 'ready') return
    this.#client = undefined
    this.#info = undefined
    if (performance.now() - this.#readySince >= this.#times.healthy) this.#restartDelay = this.#times.firstRestart
    const restartInMs = this.#scheduleRestart()
    this.#parts.logger.error({ ...exit, restartInMs, lastLines: client.lastLines }, 'the engine died')
    this.#events.dispatchEvent(new CustomEvent('lost', { detail: { ...exit, restartInMs } }))
  }

  #scheduleRestart(): number {
    this.#state = 'restarting'
    const delay = this.#restartDelay
    this.#restartDelay = Math.min(2 * delay, this.#times.lastRestart)
    this.#restartTimer = setTimeout(() => void this.#restart(), delay)
    return delay
  }

  async #restart(): Promise<void> {
    try {
      const info = await this.#boot()
      this.#events.dispatchEvent(new CustomEvent('ready', { detail: info }))
    } catch (error) {
      if (!this.#isRestarting()) return // stopped in the meantime
      const restartInMs = this.#scheduleRestart()
      this.#parts.logger.error({ err: asError(error), restartInMs }, 'the engine could not be restarted')
    }
  }

  #isRestarting(): boolean {
    return this.#state === 'restarting'
  }
}

function stopped(state: EngineState): EngineError {
  return new EngineError('ENGINE_STOPPED', `the engine is ${state}: wait for it to be ready`, { details: { state } })
}

/** A load cannot be interrupted: a shard whose loading nobody waits for any more is unloaded when it arrives. */
async function unloadLater(
  client: ChildClient<EngineCalls>,
  loading: Promise<LoadedShard>,
  silence: number
): Promise<void> {
  try {
    const { id } = await loading
    await client.call('unload', { shard: id }, { silence })
  } catch {
    // It failed to load, or the process is gone: nothing is left to unload.
  }
}

/** llama.cpp says why a load failed in its log only. */
async function withLastWords(error: unknown, client: ChildClient<EngineCalls>): Promise<unknown> {
  if (!(error instanceof EngineError) || error.code !== 'LOAD_FAILED') return error
  // The log comes by another pipe: let what is in it be read.
  await new Promise(resolve => setImmediate(resolve))
  const reason = client.lastLines.findLast(line => /error|failed|unable|cannot/i.test(line))
  if (reason === undefined) return error
  return new EngineError('LOAD_FAILED', `${error.message} (${reason.trim()})`, { details: error.details })
}
