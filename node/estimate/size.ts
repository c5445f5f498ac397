/** What a model takes of memory. Pure; all sizes in bytes. */
import type { PlannedSize } from '../control/plan.js'
import type { Footprint } from '../holding/footprint.js'
import type { Gguf } from '../models/gguf.js'
import { describeModel } from '../models/description.js'
import { embeddingBytes, headBytes, layerBytes, type ModelTensors } from '../models/sizes.js'
import { bytesOfRange } from '../scheduler/fit.js'

/** A file as far as sizes go: nobody has hashed it yet. @throws ModelError */
export function sizedFile(gguf: Gguf): ModelTensors & { name: string } {
  const { name, architecture, layers, width } = describeModel(gguf)
  const tensors = gguf.tensors.map(({ name, dims, type, size }) => ({ name, dims, type, data: { size, pieces: [] } }))
  return { name: name === '' ? architecture : name, architecture, layers, width, tensors }
}

export function plannedSize(model: ModelTensors, footprint: Footprint, positions: number): PlannedSize {
  const { layers } = model
  return {
    weights: model.tensors.reduce((sum, { data }) => sum + data.size, 0),
    layer: Math.max(...footprint.layerBytes),
    embedding: embeddingBytes(model),
    head: headBytes(model),
    needed: bytesOfRange(footprint, { start: 0, end: layers }),
    positions
  }
}

/** As many layers as the head's weights are of: each is read once a token, as a layer's are. */
export function headLayers(model: ModelTensors): number {
  const perLayer = layerBytes(model).reduce((sum, bytes) => sum + bytes, 0) / model.layers
  return perLayer > 0 ? headBytes(model) / perLayer : 0
}

/**
 * Whether nodes with these memories could hold all layers between them: each as many whole layers as it has room for, the
 * two largest with an end each, or the largest with both.
 */
export function fitsTogether(
  { layerBytes, embeddingBytes, headBytes }: Footprint,
  memories: readonly number[]
): boolean {
  const layer = Math.max(...layerBytes)
  const sorted = memories.toSorted((a, b) => b - a)
  const holds = (ends: readonly number[]): boolean => {
    const rooms = sorted.map((bytes, i) => Math.floor((bytes - (ends[i] ?? 0)) / layer))
    const isEnd = (room: number, i: number): boolean => (ends[i] ?? 0) === 0 || room >= 1
    const sum = rooms.reduce((total, room) => total + Math.max(0, room), 0)
    return rooms.length >= ends.length && rooms.every(isEnd) && sum >= layerBytes.length
  }
  return holds([embeddingBytes + headBytes]) || holds([embeddingBytes, headBytes]) || holds([headBytes, embeddingBytes])
}
