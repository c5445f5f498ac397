/** How soon a swarm of real daemons knows that a node has come, is gone, and is back. */
import { parseArgs } from 'node:util'
import type { ControlService } from '../../node/control/service.js'
import type { RunningNode } from '../support/flambeau-process.js'
import { waitFor } from '../support/wait-for.js'
import { babbleMesh, type BenchMesh, babbleRequest, machine } from './bench-mesh.js'
import { follow, newCourse } from './course.js'
import { spread } from './statistics.js'
import { pause } from './upheaval.js'

/** With the last layers; the other one is paused where it shall be the only one. */
const NODE = 6
const OTHER = 3
const LAYERS = '6-8'
const TOKENS = 8
/** Milliseconds: a record lives three minutes, and two more for clocks that differ. */
const LIMIT = 400_000
/** Milliseconds between two looks. */
const INTERVAL = 50
/** Milliseconds between two looks for what takes minutes. */
const SLOW_INTERVAL = 500
/** Seconds that an answer waits for the node. */
const WAIT = 120
/** Milliseconds in which asks go on after a death. */
const ASKING_MS = 3_000

/** What is measured: seconds since the process was started or killed, except for the last two. */
const FIGURES = {
  'new: it serves': 's',
  'new: the origin shows it': 's',
  'new: everybody shows it': 's',
  'new: an answer that waits goes over it': 's',
  'killed: the origin has no connection to it': 's',
  'killed: nobody has': 's',
  'killed: the origin does not show it as serving': 's',
  'killed: nobody does': 's',
  'killed: nobody has its record': 's',
  'back: it serves': 's',
  'back: the origin shows it': 's',
  'back: everybody shows it': 's',
  'back: an answer that waits goes over it': 's',
  'ask before the kill: until the route is open': 'ms',
  'ask after the kill: until the route is open, longest': 'ms'
} as const

type Figure = keyof typeof FIGURES
type Figures = Partial<Record<Figure, number>>

/** Options with their defaults. */
export const usage = '--rounds N (3), each of more than five minutes, --json'

export async function bench(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: { rounds: { type: 'string', default: '3' }, json: { type: 'boolean', default: false } }
  })
  await using mesh = await babbleMesh()
  const { tokens: expected } = await follow(mesh.origin(), ask(), { course: newCourse() })
  const rounds: Figures[] = []
  const wrong: string[] = []
  for (let round = 0; round < Number(values.rounds); round++) {
    const figures: Figures = {}
    await newcomer(mesh, figures)
    await death(mesh, figures, { expected, wrong })
    await comeback(mesh, figures)
    rounds.push(figures)
  }
  const nodes = mesh.mesh.nodes.length
  if (values.json) console.log(JSON.stringify({ machine: machine(), nodes, rounds, wrong }))
  else print(nodes, rounds, wrong)
  if (wrong.length > 0) process.exitCode = 1
}

const ask = (wait = 0): ReturnType<typeof babbleRequest> => babbleRequest({ maxTokens: TOKENS, wait })

/** One that the swarm has never seen, with a home of its own, as the only holder of its layers. */
async function newcomer(bench: BenchMesh, figures: Figures): Promise<void> {
  await pause(bench, NODE)
  await pause(bench, OTHER)
  const home = await bench.mesh.member()
  await bench.prepare(home.path)
  const options = ['--no-mdns', '--no-upnp', '--threads', '1', '--backend', 'cpu', '--context', '65536']
  const start = async (): Promise<RunningNode> =>
    home.startNode(['up', '--port', '0', ...options, '--name', 'node-7', '--layers', LAYERS])
  const node = await coming(bench, { figures, what: 'new', start })
  await resume(bench)
  node.kill('SIGTERM')
  await node.ended
  await home[Symbol.asyncDispose]()
}

/** The process starts again in the home of the one that was killed, as the only holder of its layers. */
async function comeback(bench: BenchMesh, figures: Figures): Promise<void> {
  await pause(bench, OTHER)
  await coming(bench, { figures, what: 'back', start: async () => (await bench.mesh.restart(NODE)).process })
  await bench.mesh.node(OTHER).service.resume()
  await bench.serving(OTHER)
}

async function resume(bench: BenchMesh): Promise<void> {
  for (const index of [NODE, OTHER]) {
    await bench.mesh.node(index).service.resume()
    await bench.serving(index)
  }
}

interface Coming {
  figures: Figures
  what: 'new' | 'back'
  start: () => Promise<RunningNode>
}

async function coming(bench: BenchMesh, { figures, what, start }: Coming): Promise<RunningNode> {
  const course = newCourse()
  const since = stopwatch()
  const answered = follow(bench.origin(), ask(WAIT), { course })
  answered.catch(() => undefined) // awaited below
  const node = await start()
  const { peer } = await node.status()
  await until(async () => (await node.status()).shards.length > 0, 'the node to serve')
  figures[`${what}: it serves`] = since()
  const others = running(bench).filter(({ pid }) => pid !== node.pid)
  const seen = others.map(async ({ service }) => {
    await until(async () => shows(service, bench.name, peer), 'others to show the node')
    return since()
  })
  const [first = 0] = await Promise.all(seen.slice(0, 1))
  figures[`${what}: the origin shows it`] = first
  figures[`${what}: everybody shows it`] = Math.max(...(await Promise.all(seen)))
  await answered
  figures[`${what}: an answer that waits goes over it`] = ((course.opened ?? NaN) - since.began) / 1_000
  return node
}

/** Asks go on from the kill: a stale view may cost a failed dial, and never a wrong answer. */
async function death(
  bench: BenchMesh,
  figures: Figures,
  { expected, wrong }: { expected: readonly number[]; wrong: string[] }
): Promise<void> {
  const { process, service } = bench.mesh.node(NODE)
  const { peer } = await service.status()
  const open = async (): Promise<number> => {
    const course = newCourse()
    const asked = performance.now()
    const { tokens } = await follow(bench.origin(), ask(), { course })
    if (tokens.join() !== expected.join()) wrong.push(`${tokens.join()} instead of ${expected.join()}`)
    return (course.opened ?? NaN) - asked
  }
  figures['ask before the kill: until the route is open'] = await open()
  const since = stopwatch()
  process.kill('SIGKILL')
  const watching = { figures, since }
  const gone = Promise.all([unconnected(bench, peer, watching), unlisted(bench, peer, watching)])
  const opening: number[] = []
  while (since() * 1_000 < ASKING_MS) opening.push(await open())
  figures['ask after the kill: until the route is open, longest'] = Math.max(...opening)
  await gone
  await process.ended
  await faded(bench, peer, watching)
}

async function faded(bench: BenchMesh, peer: string, { figures, since }: Watching): Promise<void> {
  const times = survivors(bench).map(async ({ service }) => {
    const isFaded = async (): Promise<boolean> => !(await service.peers()).some(view => view.peer === peer)
    await waitFor(isFaded, { what: 'the record to fade', limit: LIMIT, interval: SLOW_INTERVAL })
    return since()
  })
  figures['killed: nobody has its record'] = Math.max(...(await Promise.all(times)))
}

interface Watching {
  figures: Figures
  since: () => number
}

async function unconnected(bench: BenchMesh, peer: string, { figures, since }: Watching): Promise<void> {
  const times = survivors(bench).map(async ({ service }) => {
    const lost = async (): Promise<boolean> => !(await isConnected(service, peer))
    await until(lost, 'connections to be closed')
    return since()
  })
  figures['killed: the origin has no connection to it'] = (await times[0]) ?? NaN
  figures['killed: nobody has'] = Math.max(...(await Promise.all(times)))
}

async function unlisted(bench: BenchMesh, peer: string, { figures, since }: Watching): Promise<void> {
  const times = survivors(bench).map(async ({ service }) => {
    await until(async () => !(await shows(service, bench.name, peer)), 'the dead node to be forgotten')
    return since()
  })
  figures['killed: the origin does not show it as serving'] = (await times[0]) ?? NaN
  figures['killed: nobody does'] = Math.max(...(await Promise.all(times)))
}

interface Daemon {
  pid: number
  service: ControlService
}

function running({ mesh }: BenchMesh): Daemon[] {
  return mesh.nodes.flatMap(({ process, service }) => (process.hasEnded ? [] : [{ pid: process.pid, service }]))
}

const survivors = ({ mesh }: BenchMesh): Daemon[] =>
  mesh.nodes.flatMap(({ process, service }, i) => (i === NODE ? [] : [{ pid: process.pid, service }]))

async function shows(service: ControlService, name: string, peer: string): Promise<boolean> {
  const model = (await service.models()).find(offered => offered.name === name)
  return model?.holders.some(holder => holder.peer === peer && holder.serving) ?? false
}

async function isConnected(service: ControlService, peer: string): Promise<boolean> {
  const path = (await service.peers()).find(view => view.peer === peer)?.path
  return path === 'direct' || path === 'relayed'
}

async function until(condition: () => Promise<boolean>, what: string): Promise<void> {
  await waitFor(condition, { what, limit: LIMIT, interval: INTERVAL })
}

/** Seconds since it was made. */
function stopwatch(): (() => number) & { began: number } {
  const began = performance.now()
  return Object.assign(() => (performance.now() - began) / 1_000, { began })
}

function print(nodes: number, rounds: Figures[], wrong: string[]): void {
  console.log(
    `${nodes} daemons on loopback, one thread each; one comes, is killed and comes back. ${rounds.length} rounds on ${machine()}, looked at every ${INTERVAL} ms`
  )
  for (const [figure, unit] of Object.entries(FIGURES)) {
    const values = rounds.flatMap(figures => figures[figure as Figure] ?? [])
    if (values.length > 0) console.log(`${figure.padEnd(54)} ${spread(values, unit === 's' ? 2 : 0)} ${unit}`)
  }
  console.log(`wrong answers ${wrong.length}`)
  for (const what of wrong) console.log(`  ${what}`)
}
