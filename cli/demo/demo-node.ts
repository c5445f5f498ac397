import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { connectToDaemon } from '../../node/control/client.js'
import type { ControlService } from '../../node/control/service.js'
import { abortable, deadline, delay } from '../../node/deadline.js'
import { locateHome, type Home } from '../../node/home.js'
import { CliError } from '../errors.js'

/** Milliseconds in which a node on a busy machine is up. */
const START_LIMIT = 30_000
const POLL = 50
/** Milliseconds from asking a node to stop to ending it. */
const STOP_LIMIT = 8_000
/** Characters of a node's log that are kept, to be shown when it fails. */
const LOG_TAIL = 4_000

/** The demo's nodes keep to this machine: any free port, no discovery, no router. */
const UP = ['up', '--port', '0', '--no-mdns', '--no-upnp', '--threads', '1', '--log-level', 'warn']

/** A node as a process of its own, with a home of its own. */
export class DemoNode {
  readonly name: string
  readonly home: Home
  readonly #env: NodeJS.ProcessEnv
  #daemon: ChildProcess | undefined
  #log = ''

  constructor(name: string, folder: string) {
    this.name = name
    this.#env = { ...process.env, FLAMBEAU_HOME: folder, NO_COLOR: '1' }
    this.home = locateHome(this.#env)
  }

  /** Runs one command of this program in the node's home, as its owner would type it. */
  async command(args: readonly string[], { signal }: { signal: AbortSignal }): Promise<void> {
    const child = this.#spawn(args)
    const [code] = (await once(child, 'close', { signal })) as [number | null]
    if (code !== 0) throw this.#failed(`\`flambeau ${args.slice(0, 2).join(' ')}\` ended with ${code ?? 'a signal'}`)
  }

  /** `flambeau up`; the node's control interface once it answers. */
  async up(options: readonly string[], { signal }: { signal: AbortSignal }): Promise<ControlService> {
    const daemon = this.#spawn([...UP, '--name', this.name, ...options])
    this.#daemon = daemon
    using limit = deadline(`starting ${this.name}`, START_LIMIT, signal)
    for (;;) {
      const service = await connectToDaemon(this.home)
      if (service !== undefined) return service
      if (daemon.exitCode !== null) throw this.#failed(`it ended with ${daemon.exitCode}`)
      await delay(POLL, limit.signal)
    }
  }

  /** Idempotent. */
  async stop(): Promise<void> {
    const daemon = this.#daemon
    this.#daemon = undefined
    if (daemon?.exitCode !== null || daemon.signalCode !== null) return
    const closed = once(daemon, 'close')
    daemon.kill('SIGTERM')
    using limit = deadline(`stopping ${this.name}`, STOP_LIMIT)
    try {
      await abortable(closed, limit.signal)
    } catch {
      daemon.kill('SIGKILL') // it had its time
      await closed
    }
  }

  #spawn(args: readonly string[]): ChildProcess {
    // A process group of its own: Ctrl+C reaches the demo alone, which then stops its nodes in order.
    const child = spawn(process.execPath, [process.argv[1] ?? '', ...args], {
      env: this.#env,
      stdio: ['ignore', 'ignore', 'pipe'],
      detached: process.platform !== 'win32',
      windowsHide: true
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#log = (this.#log + text).slice(-LOG_TAIL)
    })
    return child
  }

  #failed(what: string): CliError {
    return new CliError('DEMO_FAILED', `The node ${this.name} failed: ${what}. It said:\n${this.#log.trim()}`)
  }
}
