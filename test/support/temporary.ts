import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface TemporaryFolder extends AsyncDisposable {
  path: string
  /** A path inside the folder. */
  file(...names: string[]): string
  /** Removes the folder and what is in it; also what `await using` does. */
  remove(): Promise<void>
}

/** A new empty folder: `await using folder = await temporaryFolder()`. */
export async function temporaryFolder(): Promise<TemporaryFolder> {
  const path = await mkdtemp(join(tmpdir(), 'flambeau-test-'))
  const remove = (): Promise<void> => rm(path, { recursive: true, force: true, maxRetries: 3 })
  return { path, file: (...names) => join(path, ...names), remove, [Symbol.asyncDispose]: remove }
}
