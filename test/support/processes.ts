import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

export interface ProcessLine {
  pid: number
  parent: number
  command: string
}

/** The processes of this machine; nothing where there is no `ps`. */
export async function processes(): Promise<ProcessLine[]> {
  const { stdout } = await promisify(execFile)('ps', ['-A', '-o', 'pid=,ppid=,args='])
  return stdout.split('\n').flatMap(line => {
    const [, pid, parent, command] = /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(line) ?? []
    return command === undefined ? [] : [{ pid: Number(pid), parent: Number(parent), command }]
  })
}

/** Memory of a process that is in RAM now. */
export async function residentBytes({ pid }: { pid: number }): Promise<number> {
  const { stdout } = await promisify(execFile)('ps', ['-o', 'rss=', '-p', String(pid)])
  return Number(stdout) * 1024
}

/** The engine's process of a node. @throws Error when it has none, or several */
export async function engineOf(node: { pid: number }): Promise<number> {
  const found = (await processes()).filter(
    ({ parent, command }) => parent === node.pid && /engine[/\\]child\.js/.test(command)
  )
  const [engine, ...more] = found
  if (engine === undefined || more.length > 0) throw new Error(`${found.length} engines of process ${node.pid}`)
  return engine.pid
}
