import { randomBytes } from 'node:crypto'
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { asError } from '../../protocol/errors.js'
import { ServiceError } from './errors.js'
import { authorOf, type Author } from './stamp.js'
import type { ServiceManager } from './types.js'

export interface ServiceFile {
  text: string
  author: Author
}

/** Undefined where no service is installed. */
export async function readServiceFile({ file }: Pick<ServiceManager, 'file'>): Promise<ServiceFile | undefined> {
  try {
    const text = await readFile(file, 'utf8')
    return { text, author: authorOf(text) }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw unusable(file, error)
  }
}

/** In one step, so that a crash leaves the old file or the new one. */
export async function writeServiceFile({ file, folders }: ServiceManager, text: string): Promise<void> {
  const temporary = `${file}.${randomBytes(6).toString('hex')}.tmp`
  try {
    for (const folder of [dirname(file), ...folders]) await mkdir(folder, { recursive: true })
    await writeFile(temporary, text, { flag: 'wx', mode: 0o644 })
    await rename(temporary, file)
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined) // the first failure is the one to tell
    throw unusable(file, error)
  }
}

function unusable(file: string, cause: unknown): ServiceError {
  return new ServiceError('SERVICE_FAILED', `${file} cannot be used: ${asError(cause).message}`, {
    details: { file },
    cause
  })
}

/**
 * What somebody else wrote, or changed, stays unless its owner insists.
 * @throws ServiceError SERVICE_FOREIGN
 */
export function checkAuthor(present: ServiceFile | undefined, { file }: ServiceManager, force: boolean): void {
  if (force || present === undefined || present.author === 'ours') return
  const what = present.author === 'edited' ? 'was edited since' : 'was not written by'
  throw new ServiceError(
    'SERVICE_FOREIGN',
    `${file} ${what} \`flambeau service install\`; it stays as it is. With --force it goes.`,
    { details: { file, author: present.author } }
  )
}
