import type { ModelView } from '../../control/contract.js'
import { TAG } from './names.js'

/** Nobody knows when a model was made, and clients want a date. */
const UNKNOWN_TIME = new Date(0).toISOString()

/** A model of `GET /api/tags`. */
export function listedModel(model: ModelView): object {
  return { ...calledOf(model), modified_at: UNKNOWN_TIME, flambeau: layersOf(model) }
}

/** A model of `GET /api/ps`. When it will be unloaded, and how much of it is in the memory of GPUs, nobody knows. */
export function runningModel(model: ModelView): object {
  const { context } = model
  return { ...calledOf(model), ...(context !== undefined && { context_length: context }), flambeau: layersOf(model) }
}

/** A model of `POST /api/show`, with what this node knows of it. */
export function shownModel(model: ModelView): object {
  const { manifest, architecture, layers, context } = model
  return {
    ...{ modelfile: '', parameters: '', template: '', modified_at: UNKNOWN_TIME, details: detailsOf(model) },
    model_info: {
      'general.architecture': architecture,
      [`${architecture}.block_count`]: layers,
      ...(context !== undefined && { [`${architecture}.context_length`]: context })
    },
    ...{ capabilities: ['completion'], flambeau: { manifest, ...layersOf(model) } }
  }
}

/** Clients look for names with a tag, and want a size. */
function calledOf(model: ModelView): object {
  const { name, manifest, bytes = 0 } = model
  const tagged = name.includes(':') ? name : `${name}${TAG}`
  return { name: tagged, model: tagged, size: bytes, digest: manifest, details: detailsOf(model) }
}

function detailsOf({ architecture }: ModelView): object {
  return {
    ...{ parent_model: '', format: 'gguf', family: architecture, families: [architecture] },
    ...{ parameter_size: '', quantization_level: '' }
  }
}

function layersOf({ layers, complete, missing }: ModelView): object {
  return { layers, complete, missing }
}
