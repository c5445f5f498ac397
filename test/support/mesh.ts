import type { GenerateRequest, StatusView } from '../../node/control/contract.js'
import { withoutErrorEvents } from '../../node/control/errors.js'
import type { ControlService } from '../../node/control/service.js'
import { ask, type Answer } from '../../cli/answer.js'
import {
  type FlambeauHome,
  flambeauHome,
  type RunningCommand,
  type RunningNode,
  type RunOptions,
  type RunResult,
  type StartOptions
} from './flambeau-process.js'
import type { Host } from './internet.js'
import { waitFor } from './wait-for.js'

/** KV positions of each node: two sessions of the small models' whole context. */
const CONTEXT = 1024
/** Milliseconds in which nodes have fetched and loaded their layers on a busy machine. */
const SERVE_LIMIT = 60_000
/** Milliseconds to the first tokens of an answer. */
const BEGIN_LIMIT = 30_000

export interface MeshNodeOptions {
  /** `--layers`, such as 0-3; without it the node chooses. */
  layers?: string
  /** Bytes, `--memory`. */
  memory?: number
  /** More arguments of `flambeau up`. */
  args?: readonly string[]
  /** Where it runs, if not on this machine's own network. */
  host?: Host | undefined
  /** Asks the router to forward its port. */
  upnp?: boolean
}

export interface SharedModel {
  /** GGUF file. */
  file: string
  /** How it is called in the swarm. */
  name: string
}

export interface MeshOptions {
  nodes: readonly MeshNodeOptions[]
  /** Shared by the first node, in this order. */
  models: readonly SharedModel[]
  closed?: boolean
  /** `--context` of every node. */
  context?: number
  /** Puts into the data folder at this path what the node is to have before its first start. */
  prepare?: (path: string) => Promise<void>
  /** Each node is started when the one before it serves; by default they start together. */
  oneAfterAnother?: boolean
}

export interface MeshNode {
  home: FlambeauHome
  /** The daemon; replaced by `restart`. */
  process: RunningNode
  service: ControlService
}

/** A swarm of node processes that serve models together. Dispose it: nothing is left running or on disk. */
export interface Mesh extends AsyncDisposable {
  nodes: readonly MeshNode[]
  invitation: string
  node(index: number): MeshNode
  /** Runs a command in the home of a node. */
  run(index: number, args: readonly string[], options?: RunOptions): Promise<RunResult>
  /** Asks a node over its control socket. */
  ask(index: number, request: GenerateRequest, options?: { signal?: AbortSignal }): Promise<Answer>
  /** What each node says of itself, the stopped ones left out. */
  status(): Promise<StatusView[]>
  /** A home that has joined the swarm and runs no daemon. */
  member(host?: Host): Promise<FlambeauHome>
  /** Starts a node again in the home of one that has ended, with more arguments. */
  restart(index: number, args?: readonly string[], options?: StartOptions): Promise<MeshNode>
  /** One more node that joins by invitation. */
  add(node: MeshNodeOptions): Promise<MeshNode>
  /** Waits until every running node sees the model complete. */
  complete(model: string): Promise<void>
}

/** `await using mesh = await startMesh({ nodes: [{ layers: '0-4' }, { layers: '4-8' }], models: [{ file, name }] })` */
export async function startMesh(options: MeshOptions): Promise<Mesh> {
  const homes = await Promise.all(options.nodes.map(homeOf))
  const mesh = new ProcessMesh(homes, options)
  try {
    await mesh.start()
    return mesh
  } catch (error) {
    await mesh[Symbol.asyncDispose]()
    throw error
  }
}

class ProcessMesh implements Mesh {
  readonly nodes: MeshNode[] = []
  invitation = ''
  readonly #homes: FlambeauHome[]
  readonly #others: FlambeauHome[] = []
  readonly #options: MeshOptions
  readonly #nodeOptions: MeshNodeOptions[]
  /** TCP, as the system chose them at first: others look for a node where it was. */
  readonly #ports: string[] = []

  constructor(homes: FlambeauHome[], options: MeshOptions) {
    this.#homes = homes
    this.#options = options
    this.#nodeOptions = [...options.nodes]
  }

  async start(): Promise<void> {
    const { closed, models, oneAfterAnother } = this.#options
    const [first, ...others] = this.#homes
    if (first === undefined) throw new RangeError('a mesh of no nodes')
    await Promise.all(this.#homes.map(async ({ path }) => this.#options.prepare?.(path)))
    await succeed(first, ['swarm', 'create', 'mesh', ...(closed ? ['--closed'] : [])])
    const { service } = await this.#up(0)
    this.invitation = (await service.invite()).invitation
    const shared = this.#share(service)
    const join = async (home: FlambeauHome, i: number): Promise<void> => {
      await succeed(home, ['join', this.invitation])
      await this.#up(i + 1)
    }
    if (oneAfterAnother) {
      await shared
      for (const [i, home] of others.entries()) {
        await this.#serving(i)
        await join(home, i)
      }
    } else await Promise.all([shared, ...others.map(join)])
    for (const { name } of models) await this.complete(name)
  }

  node(index: number): MeshNode {
    const node = this.nodes[index]
    if (node === undefined) throw new RangeError(`the mesh has no node ${index}`)
    return node
  }

  async run(index: number, args: readonly string[], options?: RunOptions): Promise<RunResult> {
    return await this.node(index).home.run(args, options)
  }

  async ask(index: number, request: GenerateRequest, { signal }: { signal?: AbortSignal } = {}): Promise<Answer> {
    const onText = (): void => undefined
    return await ask(this.node(index).service, request, { signal: signal ?? new AbortController().signal, onText })
  }

  async status(): Promise<StatusView[]> {
    const views = await Promise.allSettled(this.nodes.map(({ service }) => service.status()))
    return views.flatMap(view => (view.status === 'fulfilled' ? [view.value] : []))
  }

  async member(host?: Host): Promise<FlambeauHome> {
    const home = await homeOf({ host })
    this.#others.push(home)
    await succeed(home, ['join', this.invitation])
    return home
  }

  async restart(index: number, args: readonly string[] = [], options: StartOptions = {}): Promise<MeshNode> {
    await this.node(index).process.ended
    return await this.#up(index, { port: this.#ports[index], args, ...options })
  }

  async add(options: MeshNodeOptions): Promise<MeshNode> {
    const home = await homeOf(options)
    const index = this.#homes.push(home) - 1
    this.#nodeOptions[index] = options
    await succeed(home, ['join', this.invitation])
    return await this.#up(index)
  }

  async complete(name: string): Promise<void> {
    const running = this.nodes.filter(({ process }) => !process.hasEnded)
    await waitFor(
      async () => {
        const views = await Promise.all(running.map(({ service }) => service.models()))
        return views.every(models => models.some(model => model.name === name && model.complete))
      },
      { what: `${name} to be complete`, limit: SERVE_LIMIT, interval: 100 }
    ).catch((cause: unknown) => {
      const logs = running.map(({ process }) => process.output().stderr)
      throw new Error(`${name} did not become complete:\n${logs.join('\n---\n')}`, { cause })
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#homes, ...this.#others].map(home => home[Symbol.asyncDispose]()))
  }

  async #up(
    index: number,
    {
      port = '0',
      args: more = [],
      ...options
    }: StartOptions & { port?: string | undefined; args?: readonly string[] } = {}
  ): Promise<MeshNode> {
    const { context = CONTEXT } = this.#options
    const home = this.#homes[index]
    const { layers, memory, upnp = false, args = [] } = this.#nodeOptions[index] ?? {}
    if (home === undefined) throw new RangeError(`the mesh has no node ${index}`)
    const commandLine = [
      ...['up', '--port', port, '--no-mdns', '--threads', '1', '--backend', 'cpu'],
      ...(upnp ? [] : ['--no-upnp']),
      ...['--name', `node-${index}`, '--context', String(context)],
      ...(layers === undefined ? [] : ['--layers', layers]),
      ...(memory === undefined ? [] : ['--memory', `${memory}B`]),
      ...args,
      ...more
    ]
    const process = await home.startNode(commandLine, options)
    const { service } = process
    const node = { home, process, service }
    this.nodes[index] = node
    const { addresses } = await service.status()
    this.#ports[index] =
      /\/tcp\/(\d+)/.exec(addresses.find(address => !address.includes('/p2p-circuit')) ?? '')?.[1] ?? port
    return node
  }

  async #share(service: ControlService): Promise<void> {
    for (const { file, name } of this.#options.models) {
      for await (const event of withoutErrorEvents(service.share({ file, name }))) {
        if (event.event === 'shared') break
      }
    }
  }

  async #serving(index: number): Promise<void> {
    const { service } = this.node(index)
    await waitFor(async () => (await service.status()).shards.length > 0, { what: 'a shard', limit: SERVE_LIMIT })
  }
}

async function homeOf({ host }: Pick<MeshNodeOptions, 'host'>): Promise<FlambeauHome> {
  return await flambeauHome({ within: host?.within ?? [] })
}

/** Waits until the command has written some of its answer. @throws Error with its output when it ends before. */
export async function begun(command: RunningCommand): Promise<void> {
  const looks = { what: 'the answer to begin', limit: BEGIN_LIMIT }
  await waitFor(() => command.output().stdout.length > 20 || command.hasEnded, looks)
  if (!command.hasEnded) return
  const { code, stderr } = await command.ended
  throw new Error(`the command ended with ${code ?? 'a signal'}: ${stderr}`)
}

/** @throws Error with its output when the command fails. */
export async function succeed(home: FlambeauHome, args: readonly string[], options?: RunOptions): Promise<RunResult> {
  const result = await home.run(args, options)
  if (result.code === 0) return result
  throw new Error(`flambeau ${args.join(' ')} ended with ${result.code ?? 'a signal'}: ${result.stderr}`)
}
