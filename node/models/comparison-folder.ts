import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { asError } from '../../protocol/errors.js'

const PREFIX = 'flambeau-split-'

/** A folder for the shards of one comparison, named after this process so that others leave it alone. */
export async function makeComparisonFolder(parent: string): Promise<string> {
  return mkdtemp(join(parent, `${PREFIX}${process.pid}-`))
}

/**
 * Deletes what comparisons left that were killed: as large as a model. To be called before this process makes one of its
 * own: in a container, every process before it may have had the same id.
 */
export async function removeLeftComparisons(parent: string): Promise<void> {
  for (const name of (await readdir(parent)).filter(name => name.startsWith(PREFIX))) {
    const pid = Number.parseInt(name.slice(PREFIX.length), 10)
    if (pid > 0 && pid !== process.pid && isRunning(pid)) continue
    await rm(join(parent, name), { recursive: true, force: true })
  }
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return (asError(error) as NodeJS.ErrnoException).code === 'EPERM' // another user's
  }
}
