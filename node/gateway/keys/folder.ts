import { createHash, randomBytes } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { link, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { writePrivateFile } from '../../swarm/private-file.js'
import { MAX_KEYS, SETTLE_MS } from './constants.js'
import { KeyError } from './errors.js'
import { storedKey, type Key } from './key.js'

const KEY_FILE = /^[0-9a-f]{32}\.json$/

/**
 * The keys on disk, one file each, called by the hash of the key's name: who adds one and who removes another never
 * write the same file, so several commands at a time lose nothing, need no lock, and leave none behind when they are
 * killed. A file never changes once it is there. Reads are synchronous: few small files, and one view of all of them.
 */
export class KeyFolder {
  readonly path: string

  constructor(path: string) {
    this.path = path
  }

  /** In the order of their names. @throws KeyError KEYS_DAMAGED */
  list(): Key[] {
    const keys = this.#files().flatMap(file => this.#read(file))
    return keys.sort((a, b) => a.name.localeCompare(b.name))
  }

  /**
   * As long as it is the same, so are the keys. Undefined: they have just changed, and may again without a trace.
   * @param now - milliseconds since 1970
   */
  mark(now: number): string | undefined {
    const status = statSync(this.path, { bigint: true, throwIfNoEntry: false })
    if (status === undefined) return 'none'
    const { mtimeMs, mtimeNs, ctimeNs } = status
    return now - Number(mtimeMs) > SETTLE_MS ? `${mtimeNs}/${ctimeNs}` : undefined
  }

  /** Mode 0600, whole or not at all. @throws KeyError KEY_EXISTS, KEYS_FULL */
  async add(key: Key): Promise<void> {
    mkdirSync(this.path, { recursive: true, mode: 0o700 })
    if (this.#files().length >= MAX_KEYS) throw full()
    const draft = join(this.path, `${randomBytes(16).toString('hex')}.draft`)
    const file = this.#fileOf(key.name)
    try {
      await writePrivateFile(draft, `${JSON.stringify(key, undefined, 2)}\n`)
      await link(draft, file) // unlike a renamed file, a link never replaces another one
    } catch (cause) {
      throw hasCode(cause, 'EEXIST') ? exists(key.name, cause) : cause
    } finally {
      await rm(draft, { force: true })
    }
    // Others may have come in between: rather one too few than one too many.
    if (this.#files().length <= MAX_KEYS) return
    await rm(file, { force: true })
    throw full()
  }

  /** Also one whose file is damaged. @throws KeyError KEY_UNKNOWN */
  async remove(name: string): Promise<void> {
    try {
      await rm(this.#fileOf(name))
    } catch (cause) {
      if (!hasCode(cause, 'ENOENT')) throw cause
      throw new KeyError('KEY_UNKNOWN', `No key is called "${name}". \`flambeau key list\` shows those there are.`, {
        details: { name }
      })
    }
  }

  #files(): string[] {
    try {
      return readdirSync(this.path).filter(file => KEY_FILE.test(file))
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return []
      throw error
    }
  }

  /** None where it was removed in between. */
  #read(file: string): Key[] {
    const path = join(this.path, file)
    try {
      const key = storedKey.parse(JSON.parse(readFileSync(path, 'utf8')))
      // Under another name nobody could revoke it.
      if (path !== this.#fileOf(key.name)) throw new Error(`it belongs into ${this.#fileOf(key.name)}`)
      return [key]
    } catch (cause) {
      if (hasCode(cause, 'ENOENT')) return []
      throw new KeyError('KEYS_DAMAGED', `${path} does not hold a key. Delete it, and create the key again.`, {
        details: { file: path },
        cause
      })
    }
  }

  #fileOf(name: string): string {
    return join(this.path, `${createHash('sha256').update(name).digest('hex').slice(0, 32)}.json`)
  }
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}

function exists(name: string, cause: unknown): KeyError {
  return new KeyError('KEY_EXISTS', `A key is called "${name}" already. Revoke it first, or choose another name.`, {
    ...{ details: { name }, cause }
  })
}

function full(): KeyError {
  return new KeyError('KEYS_FULL', `There are ${MAX_KEYS} keys, which is the most. Revoke one first.`)
}
