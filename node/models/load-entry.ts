import { mkdir, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { MAX_MANIFEST_BYTES } from '../../protocol/limits.js'
import { decodeManifest } from '../../protocol/manifest.js'
import { ModelError } from './errors.js'
import { sizeOf, TEMPORARY_SUFFIX } from './files.js'
import { sha256 } from './hash.js'
import { ModelEntry, rangeName } from './model-entry.js'
import { readSourceRecord, SourceFile } from './source-file.js'
import { isRange } from './tensors.js'
import type { LayerRange } from './types.js'

/**
 * What a folder of the store has of model `id`; deletes what a crash left half written.
 * @throws ModelError BAD_MANIFEST; ProtocolError
 */
export async function loadEntry(id: string, folder: string): Promise<ModelEntry> {
  const size = await sizeOf(join(folder, 'manifest'))
  if (size === undefined || size > MAX_MANIFEST_BYTES) throw new ModelError('BAD_MANIFEST', 'the manifest is missing')
  const bytes = await readFile(join(folder, 'manifest'))
  if (sha256(bytes) !== id) throw new ModelError('BAD_MANIFEST', 'the manifest is damaged')
  const entry = new ModelEntry(id, folder, decodeManifest(bytes))
  entry.hasHeader = (await sizeOf(entry.headerFile)) === entry.manifest.header.size
  const record = (await sizeOf(entry.sourceRecordFile)) && (await readSourceRecord(entry.sourceRecordFile))
  if (record) entry.source = new SourceFile(record)
  await mkdir(entry.shardFolder, { recursive: true, mode: 0o700 })
  await removeTemporary(entry)
  if (entry.hasHeader) await findShards(entry)
  return entry
}

async function removeTemporary(entry: ModelEntry): Promise<void> {
  for (const folder of [entry.folder, entry.shardFolder]) {
    for (const name of (await readdir(folder)).filter(name => name.endsWith(TEMPORARY_SUFFIX))) {
      await rm(join(folder, name), { force: true })
    }
  }
}

async function findShards({ manifest, shardFolder, shards, partials }: ModelEntry): Promise<void> {
  for (const name of await readdir(shardFolder)) {
    const [shard, partial] = [rangeOf(name, '.gguf'), rangeOf(name, '.gguf.partial')]
    if (shard && isRange(shard, manifest.layers)) shards.set(rangeName(shard), shard)
    if (partial && isRange(partial, manifest.layers)) partials.set(rangeName(partial), partial)
  }
}

/** The range in a file's name `<start>-<end><suffix>`; undefined for other files. */
function rangeOf(name: string, suffix: string): LayerRange | undefined {
  const [, start, end, rest] = /^(\d{1,4})-(\d{1,4})(\..*)$/.exec(name) ?? []
  return rest === suffix ? { start: Number(start), end: Number(end) } : undefined
}
