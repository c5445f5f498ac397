import { randomBytes } from 'node:crypto'
import { type FileHandle, open, rename, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { ModelError } from './errors.js'

/** Ends the names of files that are not complete yet; what is left of them after a crash may be deleted. */
export const TEMPORARY_SUFFIX = '.tmp'

/** Writes a file under another name and moves it into place when it is on the disk: `file` is complete or not there. */
export async function writeDurably(file: string, write: (handle: FileHandle) => Promise<unknown>): Promise<void> {
  const temporary = `${file}.${randomBytes(6).toString('hex')}${TEMPORARY_SUFFIX}`
  try {
    {
      await using handle = await open(temporary, 'wx', 0o600)
      await write(handle)
      await handle.sync()
    }
    await moveIntoPlace(temporary, file)
  } catch (error) {
    await rm(temporary, { force: true })
    throw isFull(error) ? diskFull(error) : error
  }
}

/**
 * Writes all of `bytes`: a single write may take fewer, on a full disk for one.
 * @throws ModelError DISK_FULL
 */
export async function writeAll(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  try {
    for (let done = 0; done < bytes.length; ) {
      const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, position + done)
      done += bytesWritten
    }
  } catch (error) {
    throw isFull(error) ? diskFull(error) : error
  }
}

/** Of the disk, or of what its user may take of it. */
function isFull(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOSPC' || error.code === 'EDQUOT')
}

/** The room was there when it was looked for: others write too. */
function diskFull(cause: unknown): ModelError {
  const message = 'the disk is full; delete files on it, or remove a model with flambeau remove'
  return new ModelError('DISK_FULL', message, { cause })
}

/** Renames a synced file and syncs the folder, so that the new name survives a crash too. */
export async function moveIntoPlace(from: string, to: string): Promise<void> {
  await rename(from, to)
  if (process.platform === 'win32') return // folders cannot be opened there
  await using folder = await open(dirname(to), 'r')
  await folder.sync()
}

/** Bytes of a file; undefined when it is not there. */
export async function sizeOf(file: string): Promise<number | undefined> {
  return (await statOf(file))?.size
}

/** Bytes that a file takes on the disk, 0 when it is not there: holes take no blocks. Windows knows no blocks. */
export async function diskBytesOf(file: string): Promise<number> {
  const { blocks, size } = (await statOf(file)) ?? { blocks: 0, size: 0 }
  return blocks ? blocks * 512 : size
}

async function statOf(file: string): Promise<{ blocks: number; size: number } | undefined> {
  try {
    return await stat(file)
  } catch {
    return undefined
  }
}

/** Exactly `length` bytes from `position`. @throws ModelError TRUNCATED when the file ends before. */
export async function readFully(handle: FileHandle, position: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length)
  for (let done = 0; done < length; ) {
    const { bytesRead } = await handle.read(bytes, done, length - done, position + done)
    if (bytesRead === 0) throw new ModelError('TRUNCATED', `the file ends before byte ${position + length}`)
    done += bytesRead
  }
  return bytes
}
