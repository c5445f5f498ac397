import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

export interface ProcessLine {
  pid: number
  parent: number
  /** Bytes that it has in memory. */
  resident: number
  command: string
}

/** The processes of this machine; nothing where there is no `ps`. */
export async function processes(): Promise<ProcessLine[]> {
  const { stdout } = await promisify(execFile)('ps', ['-A', '-o', 'pid=,ppid=,rss=,args='])
  return stdout.split('\n').flatMap(line => {
    const [, pid, parent, kibibytes, command] = /^\s*(\d+)\s+(\d+)\s+(\d+)\s+(.*)$/.exec(line) ?? []
    if (command === undefined) return []
    return [{ pid: Number(pid), parent: Number(parent), resident: Number(kibibytes) * 1_024, command }]
  })
}

/** Memory of a process that is in RAM now. */
export async function residentBytes({ pid }: { pid: number }): Promise<number> {
  const { stdout } = await promisify(execFile)('ps', ['-o', 'rss=', '-p', String(pid)])
  return Number(stdout) * 1024
}

export const isEngine = ({ command }: Pick<ProcessLine, 'command'>): boolean => /engine[/\\]child\.js/.test(command)

/** The engine's process of a node. @throws Error when it has none, or several */
export async function engineOf(node: { pid: number }): Promise<number> {
  const found = (await processes()).filter(line => line.parent === node.pid && isEngine(line))
  const [engine, ...more] = found
  if (engine === undefined || more.length > 0) throw new Error(`${found.length} engines of process ${node.pid}`)
  return engine.pid
}
