import type { FileHandle } from 'node:fs/promises'
import { open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { checkSpace, type FreeBytes, freeBytes } from './disk-space.js'
import { writeAll, writeDurably } from './files.js'
import type { Gguf, GgufTensor } from './gguf.js'
import { ModelError } from './errors.js'
import { planShard, type ShardPlan, storedBytes } from './shard.js'
import type { LayerRange } from './types.js'

/** Bytes copied at a time. */
const COPY_BYTES = 4 * 2 ** 20

/** A model's file and what its header says. */
export interface ModelFile {
  file: string
  gguf: Gguf
}

export interface WriteShardOptions {
  signal?: AbortSignal
  /** What it throws leaves no file behind. */
  beforeCommit?: () => Promise<void>
  /** The file system's answer by default. */
  freeBytes?: FreeBytes
}

/**
 * Writes layers `range` of a model as a sparse GGUF file of its own; `file` appears only when it is complete.
 * @throws ModelError BAD_RANGE, BAD_METADATA, DISK_FULL, TRUNCATED when the source became shorter.
 */
export async function writeShard(
  model: ModelFile,
  range: LayerRange,
  file: string,
  { beforeCommit, freeBytes: free = freeBytes, ...options }: WriteShardOptions = {}
): Promise<ShardPlan> {
  const plan = planShard(model.gguf, range)
  await checkSpace(`writing layers ${range.start}-${range.end}`, dirname(file), storedBytes(plan), free)
  await using source = await open(model.file, 'r')
  await writeDurably(file, async handle => {
    await writeAll(handle, plan.header, 0)
    await handle.truncate(plan.fileBytes) // what is never written stays a hole
    await copyTensors({ source, gguf: model.gguf, plan, handle, ...options })
    await beforeCommit?.()
  })
  return plan
}

interface CopyOptions {
  source: FileHandle
  gguf: Gguf
  plan: ShardPlan
  handle: FileHandle
  signal?: AbortSignal
}

async function copyTensors({ source, gguf, plan, handle, signal }: CopyOptions): Promise<void> {
  const byName = new Map<string, GgufTensor>(gguf.tensors.map(tensor => [tensor.name, tensor]))
  const buffer = new Uint8Array(COPY_BYTES)
  for (const { source: name, hole, size, offset } of plan.tensors) {
    const from = byName.get(name)
    if (hole || !from) continue
    for (let done = 0; done < size; ) {
      signal?.throwIfAborted()
      const wanted = Math.min(buffer.length, size - done)
      const { bytesRead } = await source.read(buffer, 0, wanted, gguf.dataStart + from.offset + done)
      if (bytesRead === 0) throw new ModelError('TRUNCATED', `the model's file became shorter while it was read`)
      await writeAll(handle, buffer.subarray(0, bytesRead), offset + done)
      done += bytesRead
    }
  }
}
