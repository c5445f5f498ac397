/** Which models the swarm offers, read from what its nodes say of themselves. Pure. */
import { nearest } from '../parse.js'
import type { NodeView } from '../swarm/types.js'
import { missingLayers } from '../scheduler/coverage.js'
import { PipelineError } from './errors.js'

export interface Holder {
  peer: string
  name: string
  start: number
  end: number
  /** True for a loaded shard that takes sessions, false for pieces that can be fetched. */
  serving: boolean
}

export interface OfferedModel {
  /** Manifest hash, hex. */
  manifest: string
  name: string
  architecture: string
  layers: number
  cuts: number[]
  holders: Holder[]
  /** Layers that nobody serves. */
  missing: { start: number; end: number }[]
  /** Who has said that it serves these layers, and cannot be reached. */
  absent: Omit<Holder, 'serving'>[]
}

/** Others keep what they have, or have begun to let go of it, and take no sessions; or they are gone, or banned here. */
export const isOnline = ({ record, path, banned }: NodeView): boolean =>
  record.state === 'online' && path !== 'gone' && banned !== true

/** By name, then manifest. */
export function offeredModels(nodes: readonly NodeView[]): OfferedModel[] {
  const models = new Map<string, OfferedModel>()
  for (const node of nodes) {
    for (const held of node.record.models) {
      const { manifest, name, architecture, layers, cuts } = held
      const known = { manifest, name, architecture, layers, cuts }
      const model = models.get(manifest) ?? { ...known, holders: [], missing: [], absent: [] }
      models.set(manifest, model)
      if (layers !== model.layers) continue // contradicts whoever came first; the manifest itself decides in the end
      const who = { peer: node.peer, name: node.record.name }
      for (const { start, end } of held.shards) {
        if (isOnline(node)) model.holders.push({ ...who, start, end, serving: true })
        else if (node.path === 'gone') model.absent.push({ ...who, start, end })
      }
      for (const { start, end } of held.pieces) model.holders.push({ ...who, start, end, serving: false })
    }
  }
  for (const model of models.values()) {
    model.missing = missingLayers(
      model.layers,
      model.holders.filter(holder => holder.serving)
    )
  }
  return [...models.values()].sort((a, b) => a.name.localeCompare(b.name) || a.manifest.localeCompare(b.manifest))
}

/** Below this a prefix of a manifest hash names too many. */
const LEAST_PREFIX = 6

/** Is that its name, its manifest hash or the beginning of that? */
export function answersTo({ manifest, name }: Pick<OfferedModel, 'manifest' | 'name'>, wanted: string): boolean {
  const key = wanted.toLowerCase()
  return name.toLowerCase() === key || (key.length >= LEAST_PREFIX && manifest.startsWith(key))
}

/** By name, by manifest hash or by the beginning of one. Throws `UNKNOWN_MODEL` or `AMBIGUOUS_MODEL`. */
export function resolveModel<M extends Pick<OfferedModel, 'manifest' | 'name'>>(
  models: readonly M[],
  wanted: string
): M {
  const found = models.filter(model => answersTo(model, wanted))
  const [model, ...others] = found
  if (model === undefined) throw unknownModel(models, wanted)
  if (others.length === 0) return model
  const choices = found.map(({ name, manifest }) => `${name} (${manifest.slice(0, 12)})`).join(', ')
  throw new PipelineError(
    'AMBIGUOUS_MODEL',
    `"${wanted}" names ${found.length} models: ${choices}. Give the beginning of the hash instead.`,
    { details: { wanted, manifests: found.map(({ manifest }) => manifest) } }
  )
}

function unknownModel(models: readonly Pick<OfferedModel, 'name'>[], wanted: string): PipelineError {
  const names = models.map(({ name }) => name)
  const closest = nearest(wanted, names)
  const offer =
    names.length > 0
      ? `It offers: ${names.join(', ')}.${closest === undefined ? '' : ` Did you mean ${closest}?`}`
      : 'It offers none yet: share one with `flambeau share FILE.gguf`.'
  return new PipelineError('UNKNOWN_MODEL', `Nobody in this swarm offers "${wanted}". ${offer}`, {
    details: { wanted, offered: names }
  })
}

/** "0-4" for `[0, 4)`: the way layer ranges are written everywhere. */
export const rangeText = ({ start, end }: { start: number; end: number }): string => `${start}-${end}`

/** Names those of the absent nodes that have said they serve what is missing. */
export function incompleteModel({ name, manifest, missing, layers, absent: all }: OfferedModel): PipelineError {
  const wanted = all.filter(({ start, end }) => missing.some(range => range.start < end && start < range.end))
  const absent = [...new Set(wanted.map(node => node.name || node.peer.slice(-8)))]
  const ranges = missing.map(rangeText).join(', ')
  const start = `Start a node that holds them: \`flambeau up --layers ${missing[0] ? rangeText(missing[0]) : ''}\`.`
  const message =
    absent.length === 0
      ? `Nobody serves layers ${ranges} of ${name} (it has ${layers}). ${start}`
      : `Nobody who answers serves layers ${ranges} of ${name} (it has ${layers}): ${absent.join(', ')} cannot be reached. ${start} A node behind a router is reached through a member that runs with \`--relay\`.`
  return new PipelineError('INCOMPLETE_MODEL', message, { details: { manifest, missing, absent } })
}
