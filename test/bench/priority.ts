import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { asError } from '../../protocol/errors.js'

const LOWEST = 19
const NORMAL = 0

/**
 * The beginning of a command line whose process, and all that it starts, gets what others leave of the processors. Linux
 * with its autogroups asks twice: once for the session, once for the processes in it.
 */
export const LOW_PRIORITY: readonly string[] = [
  ...['sh', '-c', `(echo ${LOWEST} >/proc/self/autogroup) 2>/dev/null; exec nice -n ${LOWEST} "$@"`, 'sh']
]

/** Undoes it. @param group of processes, named by its first one. @throws Error where that needs more rights */
export async function restorePriority(group: number): Promise<void> {
  await promisify(execFile)('renice', ['-n', String(NORMAL), '-g', String(group)])
  await writeFile(`/proc/${group}/autogroup`, String(NORMAL)).catch(() => undefined) // not every kernel has them
}

/** Why that cannot be done here; undefined: it can. */
export async function priorityObstacle(): Promise<string | undefined> {
  try {
    await promisify(execFile)('nice', ['-n', String(LOWEST), 'sh', '-c', `renice -n ${NORMAL} -p $$`])
    return undefined
  } catch (error) {
    return `priorities cannot be raised again: ${asError(error).message.split('\n')[0] ?? ''}`
  }
}
