import { statfs } from 'node:fs/promises'
import { ModelError } from './errors.js'

/** Bytes that a model leaves free on the disk, or as many as it takes itself: on a full one, logs and other programs fail too. */
export const DISK_RESERVE_BYTES = 2 ** 30

/** Bytes that may still be written in a folder. */
export type FreeBytes = (folder: string) => Promise<number>

export const freeBytes: FreeBytes = async folder => {
  const { blocks, bavail, bsize } = await statfs(folder)
  // Some network file systems do not say; a write will.
  return blocks === 0 ? Infinity : bavail * bsize
}

/**
 * Makes sure that `bytes` more fit into `folder`, before hours go by until they do not.
 * @param what is to be written, for people
 * @throws ModelError DISK_FULL
 */
export async function checkSpace(what: string, folder: string, bytes: number, free = freeBytes): Promise<void> {
  const reserve = Math.min(DISK_RESERVE_BYTES, Math.max(0, bytes))
  const usable = (await free(folder)) - reserve
  if (bytes <= 0 || bytes <= usable) return
  const message =
    `${what} needs ${megabytes(bytes)} MB more on the disk, but ${folder} has room for ${megabytes(Math.max(0, usable))} MB ` +
    `(${megabytes(reserve)} MB stay free); delete files there, or remove a model with flambeau remove`
  throw new ModelError('DISK_FULL', message, { details: { folder, needed: bytes, usable } })
}

function megabytes(bytes: number): number {
  return Math.ceil(bytes / 1e6)
}
