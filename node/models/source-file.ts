import { readFile, stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { ModelError } from './errors.js'
import { type Gguf, readGguf } from './gguf.js'

/** The owner's file as it was when it was shared. */
export interface SourceRecord {
  path: string
  /** Bytes. */
  size: number
  /** Milliseconds since 1970. */
  modified: number
}

/** What identifies a file's present state. */
export async function recordOf(file: string): Promise<SourceRecord> {
  const { size, mtimeMs } = await stat(file)
  return { path: resolve(file), size, modified: mtimeMs }
}

/** The record of a `source.json`; undefined when it is no such thing. */
export async function readSourceRecord(file: string): Promise<SourceRecord | undefined> {
  const parsed: unknown = JSON.parse(await readFile(file, 'utf8'))
  if (typeof parsed !== 'object' || parsed === null) return undefined
  const { path, size, modified } = parsed as Partial<Record<keyof SourceRecord, unknown>>
  if (typeof path !== 'string' || typeof size !== 'number' || typeof modified !== 'number') return undefined
  return { path, size, modified }
}

/** A shared file that is used in place: every use makes sure that it is still the same file. */
export class SourceFile {
  readonly record: SourceRecord
  private header: Promise<Gguf> | undefined

  constructor(record: SourceRecord) {
    this.record = record
  }

  /** Why the file cannot be used any more; undefined while it can. */
  async problem(): Promise<string | undefined> {
    const { path, size, modified } = this.record
    try {
      const now = await recordOf(path)
      if (now.size === size && now.modified === modified) return undefined
      return `${path} was changed after it was shared; share it again`
    } catch {
      return `${path}, which was shared, cannot be read any more; put it back or share it again`
    }
  }

  /** @throws ModelError SOURCE_CHANGED */
  async check(): Promise<void> {
    const problem = await this.problem()
    if (problem !== undefined) {
      throw new ModelError('SOURCE_CHANGED', problem, { details: { path: this.record.path } })
    }
  }

  /** The file's header, read once. @throws ModelError SOURCE_CHANGED */
  async gguf(): Promise<Gguf> {
    await this.check()
    this.header ??= readGguf(this.record.path)
    this.header.catch(() => (this.header = undefined)) // read again next time
    return this.header
  }
}
