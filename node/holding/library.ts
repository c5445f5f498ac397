import { PIECES_PROTOCOL } from '../../protocol/ids.js'
import type { Logger } from '../logger.js'
import { ModelError } from '../models/errors.js'
import { PieceFetcher, type RangeHolder } from '../models/piece-fetcher.js'
import type { ModelStore } from '../models/store.js'
import type { FetchProgress, LayerRange, StoredModel } from '../models/types.js'
import type { Trust } from '../trust/trust.js'
import type { Directory, Swarm } from '../swarm/types.js'

export interface ModelLibraryParts {
  store: ModelStore
  directory: Directory
  swarm: Pick<Swarm, 'openStream'>
  /** Hears of peers that send what they were not asked for. */
  trust?: Pick<Trust, 'refuse'>
  logger: Logger
}

const LIE = 'a peer sent a manifest that contradicts itself'

/** Models from the store, or from the peers that hold them. */
export class ModelLibrary {
  readonly #directory: Directory
  readonly #fetcher: PieceFetcher
  readonly #trust: ModelLibraryParts['trust']
  readonly #logger: Logger

  constructor({ store, directory, swarm, trust, logger }: ModelLibraryParts) {
    this.#trust = trust
    this.#directory = directory
    this.#logger = logger
    this.#fetcher = new PieceFetcher({
      store,
      openStream: async (peer, options) => swarm.openStream(peer, PIECES_PROTOCOL, options)
    })
  }

  /** The model with its manifest and header. @throws ModelError */
  async header(id: string, { signal }: { signal: AbortSignal }): Promise<StoredModel & { headerFile: string }> {
    const model = await this.#fetcher.fetchHeader({ ...this.#job(id), signal })
    const { headerFile } = model
    if (headerFile === undefined) throw new ModelError('NOT_HELD', `the header of ${model.manifest.name} is not here`)
    return { ...model, headerFile }
  }

  /** The file with layers `range` of the model. @throws ModelError */
  async range(
    id: string,
    range: LayerRange,
    options: { signal: AbortSignal; onProgress: (progress: FetchProgress) => void }
  ): Promise<string> {
    return this.#fetcher.fetchRange({ ...this.#job(id), ...options, range })
  }

  #job(id: string): Pick<Parameters<PieceFetcher['fetchHeader']>[0], 'id' | 'holders' | 'onBadPiece'> {
    return {
      id,
      holders: () => this.#holders(id),
      onBadPiece: ({ peer, hash, isLie }) => {
        this.#logger.warn({ peer, hash, manifest: id }, isLie === true ? LIE : 'a peer sent a wrong piece')
        this.#trust?.refuse(isLie === true ? 'LYING_MANIFEST' : 'WRONG_PIECE', peer)
      }
    }
  }

  #holders(id: string): RangeHolder[] {
    return this.#directory.nodes().flatMap(({ peer, path, banned, record }) => {
      const held = record.models.find(({ manifest }) => manifest === id)
      return path === 'self' || banned === true || held === undefined ? [] : [{ peer, ranges: held.pieces }]
    })
  }
}
