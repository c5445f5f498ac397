import { setTimeout as sleep } from 'node:timers/promises'
import { engineOf } from '../support/processes.js'
import { waitFor } from '../support/wait-for.js'
import type { BenchMesh } from './bench-mesh.js'

/** Milliseconds: a drain at a stop takes 15 s at most, at a pause 30 s. */
const LEAVE_LIMIT = 45_000

/** What happens to nodes. Each ends when the node serves again, and the origin knows. */
export const UPHEAVALS = {
  /** The process ends without a word; whoever supervises it starts it again at once. */
  kill: async (bench: BenchMesh, node: number): Promise<void> => {
    bench.mesh.node(node).process.kill('SIGKILL')
    await bench.comeBack(node)
  },
  /** It leaves in order, and is started again. */
  drain: async (bench: BenchMesh, node: number): Promise<void> => {
    await leave(bench, node)
    await bench.comeBack(node)
  },
  pause: async (bench: BenchMesh, node: number, milliseconds = 0): Promise<void> => {
    await pause(bench, node)
    await sleep(milliseconds)
    await bench.mesh.node(node).service.resume()
    await bench.serving(node)
  },
  engine: async (bench: BenchMesh, node: number): Promise<void> => {
    const { process: daemon, service } = bench.mesh.node(node)
    const { restarts } = (await service.status()).engine
    process.kill(await engineOf(daemon), 'SIGKILL')
    const noticed = async (): Promise<boolean> => (await service.status()).engine.restarts > restarts
    await waitFor(noticed, { what: `node ${node} to notice that its engine is gone` })
    await bench.serving(node)
  }
} as const

/** SIGTERM; resolves when the process has ended. @throws Error when it ended otherwise than in order */
export async function leave({ mesh }: BenchMesh, node: number): Promise<void> {
  const { process } = mesh.node(node)
  process.kill('SIGTERM')
  const { code, stderr } = await process.ended
  if (code !== 0) throw new Error(`node ${node} ended with ${code ?? 'a signal'}:\n${stderr}`)
}

/** Resolves when its sessions are gone and its engine has ended. */
export async function pause({ mesh }: BenchMesh, node: number): Promise<void> {
  const { service } = mesh.node(node)
  await service.pause({})
  const paused = async (): Promise<boolean> => (await service.status()).state === 'paused'
  await waitFor(paused, { what: `node ${node} to be paused`, limit: LEAVE_LIMIT })
}
