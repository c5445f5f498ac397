import type { ModelView } from '../../control/contract.js'

/** A model of `GET /v1/models`. Nobody knows when it was made: `created` is 0. */
export function modelObject({ name, manifest, architecture, layers, complete, missing }: ModelView): object {
  return {
    ...{ id: name, object: 'model', created: 0, owned_by: 'swarm' },
    flambeau: { manifest, architecture, layers, complete, missing }
  }
}
