/** The processor time that others use on this machine. */
import { readFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { LONGEST_LOOK_MS, MAX_PROCESSES } from './constants.js'

export interface CpuReading {
  /** Milliseconds, monotonic. */
  at: number
  processors: number
  /** Milliseconds that all processors together were busy since the machine started. */
  busyMs: number
  /** Of those, what this process and its children used since they started. */
  ownMs: number
  /** False where the children's time cannot be seen, so that theirs looks like that of others. */
  seesChildren: boolean
}

export function readCpu(): CpuReading {
  const all = cpus()
  const busyMs = all.reduce((sum, { times: { user, nice, sys, irq } }) => sum + user + nice + sys + irq, 0)
  const tree = treeMs()
  const { user, system } = process.cpuUsage()
  return {
    at: performance.now(),
    processors: all.length,
    busyMs,
    ownMs: tree ?? (user + system) / 1_000,
    seesChildren: tree !== undefined
  }
}

/**
 * The part of all processors, 0 to 1, that others used between two readings; undefined where that cannot be told:
 * the machine slept in between, or the children's time is unseen and they computed.
 */
export function othersShare(before: CpuReading, now: CpuReading, computing: boolean): number | undefined {
  const elapsed = now.at - before.at
  const seesOwn = before.seesChildren && now.seesChildren
  if (now.processors === 0 || elapsed <= 0 || elapsed > LONGEST_LOOK_MS || (computing && !seesOwn)) return undefined
  const others = now.busyMs - before.busyMs - Math.max(0, now.ownMs - before.ownMs)
  return Math.min(1, Math.max(0, others / (elapsed * now.processors)))
}

/** Linux counts in hundredths of a second, whatever its kernel's own clock does. */
const TICK_MS = 10
/** Of `/proc/<pid>/stat`, after the name: times of the process, and of its children that have ended. */
const TIMES = { from: 11, to: 15 }

/** Milliseconds that this process and all below it used, those that have ended too; undefined where there is no /proc. */
function treeMs(): number | undefined {
  if (process.platform !== 'linux') return undefined
  try {
    return descendants(process.pid).reduce((sum, pid) => sum + ticksOf(pid) * TICK_MS, 0)
  } catch {
    return undefined // a kernel that does not list children
  }
}

/** The first one is `pid` itself. */
function descendants(pid: number): number[] {
  const found = [pid]
  for (let at = 0; at < found.length && found.length < MAX_PROCESSES; at++) {
    const parent = found[at] ?? pid
    const children = parent === pid ? readFileSync(childrenFile(pid), 'utf8') : readIfThere(childrenFile(parent))
    found.push(...(children.match(/\d+/g) ?? []).map(Number))
  }
  return found.slice(0, MAX_PROCESSES)
}

/** Processes are started by the main thread, whose number is that of the process. */
const childrenFile = (pid: number): string => `/proc/${pid}/task/${pid}/children`

/** Of a process that has just ended there is nothing to read: its parent has its time. */
function readIfThere(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}

function ticksOf(pid: number): number {
  const stat = readIfThere(`/proc/${pid}/stat`)
  // The name, in brackets, may have anything in it.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return fields.slice(TIMES.from, TIMES.to).reduce((sum, ticks) => sum + Number(ticks), 0)
}
