import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { connectToDaemon } from '../../node/control/client.js'
import type { StatusView } from '../../node/control/contract.js'
import type { ControlService } from '../../node/control/service.js'
import { locateHome } from '../../node/home.js'
import { PROJECT_ROOT } from './models.js'
import { temporaryFolder } from './temporary.js'
import { waitFor } from './wait-for.js'

/** What `npm run build` makes of `cli/main.ts`. */
const MAIN = join(PROJECT_ROOT, 'dist', 'cli', 'main.js')

/** Milliseconds: two busy cores load libp2p and the engine in a few seconds. */
const START_LIMIT = 60_000
const RUN_LIMIT = 120_000
/** Milliseconds from SIGTERM to SIGKILL; a node drains its sessions first. */
const STOP_LIMIT = 20_000
const STATUS_INTERVAL = 50

/** Many nodes on one machine: those of them that need one get a gateway at a port of its own. */
const FIXED = { FLAMBEAU_GATEWAY: 'none', NO_COLOR: '1' }

export interface RunResult {
  /** Null when a signal ended it. */
  code: number | null
  stdout: string
  stderr: string
}

export interface RunOptions {
  /** Written to its standard input, which is closed then. */
  input?: string
  /** Milliseconds until it is killed and the call fails; two minutes by default. */
  limit?: number
}

/** A process of the command line that is not waited for. */
export interface RunningCommand {
  pid: number
  hasEnded: boolean
  /** What it has written so far. */
  output(): { stdout: string; stderr: string }
  /** Writes to its standard input, which stays open. */
  type(text: string): void
  /** Sends a signal and does not wait. */
  kill(signal: NodeJS.Signals): void
  /** SIGTERM, and SIGKILL for it and its children when it does not end; what it returned. */
  stop(): Promise<RunResult>
  /** When it has ended, by itself or not. */
  ended: Promise<RunResult>
}

export interface RunningNode extends RunningCommand {
  status(): Promise<StatusView>
  /** Its control interface, as the commands use it. */
  service: ControlService
}

/** A home folder of its own for commands and at most one node. Dispose it: nothing is left running or on disk. */
export interface FlambeauHome extends AsyncDisposable {
  path: string
  /** Runs one command to its end. */
  run(args: readonly string[], options?: RunOptions): Promise<RunResult>
  /** The same with `--json`, parsed. @throws Error with its output when it fails. */
  json<T>(args: readonly string[], options?: RunOptions): Promise<T>
  /** Starts a command and does not wait for its end. */
  launch(args: readonly string[], options?: StartOptions): RunningCommand
  /** Starts a node and waits until it answers `flambeau status`; `up` by default. */
  startNode(args?: readonly string[], options?: StartOptions): Promise<RunningNode>
}

export interface StartOptions {
  /** The beginning of this command line, such as one that sets its priority or gives it a terminal. */
  within?: readonly string[]
}

export interface HomeOptions {
  /** For every process that is started in it. */
  env?: Record<string, string>
  /** The beginning of each command line, such as one that enters another machine's network. */
  within?: readonly string[]
}

/** `await using home = await flambeauHome()` */
export async function flambeauHome({ env = {}, within = [] }: HomeOptions = {}): Promise<FlambeauHome> {
  const folder = await temporaryFolder()
  const children = new Set<Child>()
  const launch = (args: readonly string[], { within: first = [] }: StartOptions = {}): Child => {
    const commandLine = [...first, ...within, process.execPath, MAIN, ...args]
    const child = new Child(commandLine, { ...process.env, ...FIXED, ...env, FLAMBEAU_HOME: folder.path })
    children.add(child)
    void child.ended.finally(() => children.delete(child))
    return child
  }
  const run = (args: readonly string[], options: RunOptions = {}): Promise<RunResult> => launch(args).finish(options)
  const json = async <T>(args: readonly string[], options?: RunOptions): Promise<T> => {
    const result = await run([...args, '--json'], options)
    if (result.code !== 0) throw new Error(`flambeau ${args.join(' ')} failed:\n${describe(result)}`)
    return JSON.parse(result.stdout) as T
  }
  return {
    path: folder.path,
    run,
    json,
    launch,
    startNode: async (args = ['up'], options = {}) => await startNode(launch(args, options), folder.path),
    async [Symbol.asyncDispose]() {
      await Promise.all([...children].map(child => child.stop()))
      await folder.remove()
    }
  }
}

async function startNode(child: Child, path: string): Promise<RunningNode> {
  const home = locateHome({ FLAMBEAU_HOME: path })
  const answers = async (): Promise<ControlService | 'ended' | undefined> => {
    if (child.hasEnded) return 'ended'
    const service = await connectToDaemon(home)
    const status = await service?.status()
    return status?.pid === child.pid && status.state !== 'joining' ? service : undefined
  }
  try {
    const service = await waitFor(answers, { what: 'the node', limit: START_LIMIT, interval: STATUS_INTERVAL })
    if (service !== 'ended') return Object.assign(child, { service, status: () => service.status() })
  } catch (cause) {
    throw new Error(`the node did not start:\n${describe(await child.stop())}`, { cause })
  }
  throw new Error(`the node ended at once:\n${describe(await child.ended)}`)
}

/** A process of the compiled command line, with its output, in a process group of its own. */
class Child implements RunningCommand {
  readonly ended: Promise<RunResult>
  hasEnded = false
  readonly #process: ChildProcess
  #stdout = ''
  #stderr = ''
  /** The test process must not leave them behind, even when it dies of an error. */
  static readonly #running = new Set<Child>()

  static {
    process.once('exit', () => Child.#running.forEach(child => child.#killGroup()))
  }

  constructor([program = '', ...args]: readonly string[], env: NodeJS.ProcessEnv) {
    this.#process = spawn(program, args, { env, detached: process.platform !== 'win32' })
    this.#process.stdout?.setEncoding('utf8').on('data', (text: string) => (this.#stdout += text))
    this.#process.stderr?.setEncoding('utf8').on('data', (text: string) => (this.#stderr += text))
    // It may end before it has read its input.
    this.#process.stdin?.on('error', () => undefined)
    Child.#running.add(this)
    const closed = once(this.#process, 'close')
    this.ended = once(this.#process, 'exit').then(async ([code]) => {
      // What it started must end with it, and would hold its output open.
      this.#killGroup()
      await closed
      this.hasEnded = true
      Child.#running.delete(this)
      return { code: code as number | null, ...this.output() }
    })
  }

  get pid(): number {
    return this.#process.pid ?? 0
  }

  output(): { stdout: string; stderr: string } {
    return { stdout: this.#stdout, stderr: this.#stderr }
  }

  type(text: string): void {
    this.#process.stdin?.write(text)
  }

  kill(signal: NodeJS.Signals): void {
    if (!this.hasEnded) this.#process.kill(signal)
  }

  async finish({ input = '', limit = RUN_LIMIT }: RunOptions): Promise<RunResult> {
    this.#process.stdin?.end(input)
    const late = new AbortController()
    const timer = setTimeout(() => late.abort(), limit)
    late.signal.addEventListener('abort', () => this.#killGroup())
    const result = await this.ended
    clearTimeout(timer)
    if (late.signal.aborted) throw new Error(`the command did not end within ${limit} ms:\n${describe(result)}`)
    return result
  }

  async stop(): Promise<RunResult> {
    this.kill('SIGTERM')
    const timer = setTimeout(() => this.#killGroup(), STOP_LIMIT)
    const result = await this.ended
    clearTimeout(timer)
    return result
  }

  #killGroup(): void {
    if (this.hasEnded || this.pid === 0) return
    try {
      if (process.platform === 'win32') this.#process.kill('SIGKILL')
      else process.kill(-this.pid, 'SIGKILL')
    } catch {
      // Nobody is left in the group.
    }
  }
}

function describe({ code, stdout, stderr }: RunResult): string {
  return `exit code ${code ?? 'none (killed)'}\n--- stdout\n${stdout}\n--- stderr\n${stderr}`
}
