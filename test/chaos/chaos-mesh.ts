import type { StatusView } from '../../node/control/contract.js'
import { Internet, type Host } from '../support/internet.js'
import type { RunningCommand } from '../support/flambeau-process.js'
import { type Mesh, type MeshNode, startMesh } from '../support/mesh.js'
import { engineOf } from '../support/processes.js'
import { type TemporaryFolder, temporaryFolder } from '../support/temporary.js'
import { writeTinyModel } from '../support/tiny-model.js'
import { waitFor } from '../support/wait-for.js'
import { LAYOUT, ORIGIN, victim } from './layout.js'
import { Referee } from './referee.js'
import type { Blow } from './schedule.js'

export const MODEL = 'babble'
/** Positions of the toy, and of all sessions of a node. */
const CONTEXT = 16_384
/** Milliseconds in which a node that was struck serves again, and the origin sees it: engines start, hosts are dialled anew. */
const BACK_LIMIT = 90_000
/** Milliseconds in which nodes have freed the sessions of answers that are over. */
const FREE_LIMIT = 15_000
const INTERVAL = 100

/** Two hosts that do not reach each other. */
type Cut = readonly [number, number]

/** The nodes of a chaos run, and what is done to them. Dispose it: nothing is left. */
export class ChaosMesh implements AsyncDisposable {
  /** Of answers of this mesh. */
  readonly referee: Referee
  readonly #mesh: Mesh
  readonly #folder: TemporaryFolder
  readonly #internet: Internet | undefined
  readonly #hosts: readonly Host[]
  readonly #struck = new Map<number, Blow>()
  #cuts: Cut[] = []
  #draining: RunningCommand[] = []
  #originServes = true

  private constructor(
    mesh: Mesh,
    parts: { folder: TemporaryFolder; internet: Internet | undefined; hosts: Host[]; referee: Referee }
  ) {
    const { folder, internet, hosts, referee } = parts
    this.referee = referee
    this.#mesh = mesh
    this.#folder = folder
    this.#internet = internet
    this.#hosts = hosts
  }

  /** On hosts of their own where this machine allows it, else on loopback and without partitions. */
  static async start({ partitions }: { partitions: boolean }): Promise<ChaosMesh> {
    const folder = await temporaryFolder()
    const internet = partitions ? await Internet.start() : undefined
    try {
      const { file } = await writeTinyModel(folder.file('babble.gguf'), { architecture: 'llama', context: CONTEXT })
      const hosts: Host[] = []
      if (internet !== undefined) while (hosts.length < LAYOUT.length) hosts.push(await internet.host())
      const nodes = LAYOUT.map(({ start, end }, i) => ({ layers: `${start}-${end}`, host: hosts[i] }))
      const mesh = await startMesh({ nodes, models: [{ file, name: MODEL }], context: CONTEXT })
      const referee = await Referee.start(file, { context: CONTEXT })
      const chaos = new ChaosMesh(mesh, { folder, internet, hosts, referee })
      await chaos.mend()
      return chaos
    } catch (error) {
      await internet?.[Symbol.asyncDispose]()
      await folder.remove()
      throw error
    }
  }

  get partitions(): boolean {
    return this.#internet !== undefined
  }

  get origin(): MeshNode {
    return this.#mesh.node(ORIGIN)
  }

  /** Nodes that serve, as far as this run has let them. */
  get living(): number[] {
    return [...LAYOUT.keys()].filter(node => !this.#struck.has(node) && (node !== ORIGIN || this.#originServes))
  }

  /** What a node has logged. */
  log(node: number): string {
    return this.#mesh.node(node).process.output().stderr
  }

  async originServes(wanted: boolean): Promise<void> {
    if (wanted === this.#originServes) return
    const { service } = this.origin
    if (wanted) await service.resume()
    else await service.pause({})
    this.#originServes = wanted
    await waitFor(async () => (await service.status()).shards.length > 0 === wanted, {
      ...{ what: 'the origin to serve or not', limit: BACK_LIMIT, interval: INTERVAL }
    })
  }

  /** Which node has this name in routes. */
  indexOf(name: string | undefined): number {
    return Number(/^node-(\d+)$/.exec(name ?? '')?.[1] ?? -1)
  }

  /** Strikes this node, or one that can be spared. Which one it was; undefined: none can be spared, or not that way. */
  async strike(preferred: number, blow: Blow): Promise<number | undefined> {
    const node = victim(preferred, this.living)
    if (node === undefined || (blow === 'isolate' && !this.partitions)) return undefined
    await this.#strike(node, blow)
    return node
  }

  /** Strikes all of these that live. */
  async strikeAll(nodes: readonly number[], blow: Blow): Promise<number[]> {
    const struck = this.living.filter(node => nodes.includes(node) && node !== ORIGIN)
    await Promise.all(
      struck.map(async node => this.#strike(node, blow === 'isolate' && !this.partitions ? 'kill' : blow))
    )
    return struck
  }

  /** False where that cannot be: both are one, or one is the origin. */
  async cut(a: number, b: number): Promise<boolean> {
    const [one, other] = [this.#hosts[a], this.#hosts[b]]
    if (one === undefined || other === undefined || a === b || a === ORIGIN || b === ORIGIN) return false
    if (this.#cuts.some(cut => cut.includes(a) && cut.includes(b))) return false
    this.#cuts.push([a, b])
    await this.#internet?.cut(one, other)
    return true
  }

  /** Undoes what was done to this node, and waits until it serves and the origin sees it. */
  async restore(node: number): Promise<void> {
    const blow = this.#struck.get(node)
    if (blow === undefined) return
    const { process, service } = this.#mesh.node(node)
    if (blow === 'kill' || blow === 'leave' || blow === 'drain') {
      await waitFor(() => process.hasEnded, { what: `node ${node} to end after ${blow}`, limit: BACK_LIMIT })
      await this.#mesh.restart(node)
    }
    if (blow === 'pause') await service.resume()
    if (blow === 'freeze') process.kill('SIGCONT')
    if (blow === 'isolate') await this.heal(node)
    await this.#serving(node)
    this.#struck.delete(node)
  }

  async heal(node: number): Promise<void> {
    const healed = this.#cuts.filter(cut => cut.includes(node))
    this.#cuts = this.#cuts.filter(cut => !cut.includes(node))
    for (const cut of healed) await this.#heal(cut)
  }

  /** Everybody is there again, serves, and has freed all sessions. @throws Error that says what is not so */
  async mend(): Promise<void> {
    for (const node of this.#struck.keys()) await this.restore(node)
    for (const cut of this.#cuts.splice(0)) await this.#heal(cut)
    for (const command of this.#draining.splice(0)) await command.stop()
    for (const node of this.living) await this.#serving(node)
    for (const node of LAYOUT.keys()) await this.#free(node)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const [node, blow] of this.#struck) if (blow === 'freeze') this.#mesh.node(node).process.kill('SIGCONT')
    await this.referee[Symbol.asyncDispose]()
    await this.#mesh[Symbol.asyncDispose]()
    await this.#internet?.[Symbol.asyncDispose]()
    await this.#folder.remove()
  }

  async #strike(node: number, blow: Blow): Promise<void> {
    const { process: daemon, service, home } = this.#mesh.node(node)
    this.#struck.set(node, blow)
    switch (blow) {
      case 'kill':
        daemon.kill('SIGKILL')
        return
      case 'kill-engine':
        process.kill(await engineOf(daemon), 'SIGKILL')
        return
      case 'leave':
        daemon.kill('SIGTERM')
        return
      case 'drain':
        this.#draining.push(home.launch(['drain']))
        return
      case 'pause':
        await service.pause({})
        return
      case 'freeze':
        daemon.kill('SIGSTOP')
        return
      case 'isolate':
        for (const other of LAYOUT.keys()) await this.#isolate(node, other)
    }
  }

  async #isolate(node: number, other: number): Promise<void> {
    const [one, two] = [this.#hosts[node], this.#hosts[other]]
    if (one === undefined || two === undefined || node === other) return
    if (this.#cuts.some(cut => cut.includes(node) && cut.includes(other))) return
    this.#cuts.push([node, other])
    await this.#internet?.cut(one, two)
  }

  async #heal([a, b]: Cut): Promise<void> {
    const [one, other] = [this.#hosts[a], this.#hosts[b]]
    if (one !== undefined && other !== undefined) await this.#internet?.heal(one, other)
  }

  /** It says so itself, and the origin has heard it. */
  async #serving(node: number): Promise<void> {
    const { service } = this.#mesh.node(node)
    const { peer } = await waitFor(
      async () => {
        const status = await service.status()
        return status.state === 'online' && status.engine.state === 'ready' && status.shards.length === 1 && status
      },
      { what: `node ${node} to serve`, limit: BACK_LIMIT, interval: INTERVAL }
    )
    const seen = async (): Promise<boolean> => {
      const models = await this.origin.service.models()
      const holders = models.find(({ name }) => name === MODEL)?.holders ?? []
      const peers = await this.origin.service.peers()
      const path = peers.find(other => other.peer === peer)?.path
      return path !== 'unconnected' && holders.some(holder => holder.peer === peer && holder.serving)
    }
    await waitFor(seen, { what: `the origin to see node ${node}`, limit: BACK_LIMIT, interval: INTERVAL })
  }

  async #free(node: number): Promise<void> {
    const { service } = this.#mesh.node(node)
    const free = async (): Promise<StatusView | false> => {
      const status = await service.status()
      const { sessions, shards } = status
      const unused = shards.every(shard => shard.sessions === 0 && shard.freeContext === CONTEXT)
      return sessions.served === 0 && sessions.origin === 0 && unused && status
    }
    await waitFor(free, { what: `node ${node} to free its sessions`, limit: FREE_LIMIT, interval: INTERVAL })
  }
}
