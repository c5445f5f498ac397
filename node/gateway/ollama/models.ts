import type { ModelView } from '../../control/contract.js'
import { TAG } from './names.js'

/** Nobody knows when a model was made, and clients want a date. */
const UNKNOWN_TIME = new Date(0).toISOString()

/** A model of `GET /api/tags`; clients look for names with a tag. Its bytes are known only to those who hold it: `size` is 0. */
export function listedModel(model: ModelView): object {
  const { name, manifest } = model
  const tagged = name.includes(':') ? name : `${name}${TAG}`
  return {
    ...{ name: tagged, model: tagged, modified_at: UNKNOWN_TIME, size: 0, digest: manifest },
    ...{ details: detailsOf(model), flambeau: layersOf(model) }
  }
}

/** A model of `POST /api/show`, with what this node knows without having it. */
export function shownModel(model: ModelView): object {
  return {
    ...{ modelfile: '', parameters: '', template: '', modified_at: UNKNOWN_TIME, details: detailsOf(model) },
    model_info: { 'general.architecture': model.architecture },
    ...{ capabilities: ['completion'], flambeau: { manifest: model.manifest, ...layersOf(model) } }
  }
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
