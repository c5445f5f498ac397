import type {
  GenerateEvent,
  GenerateRequest,
  ModelView,
  PeerView,
  ShareEvent,
  ShareRequest,
  StatusView
} from './contract.js'

export interface InviteView {
  /** One pasteable string. */
  invitation: string
  /** Of the swarm. */
  name: string
  /** The invitation carries the swarm's key: to be handed on with care. */
  closed: boolean
}

export interface RemovedView {
  name: string
  /** Hash. */
  manifest: string
}

export interface ControlOptions {
  signal?: AbortSignal
}

/**
 * What a node's owner can ask of it: implemented by the daemon, and over its socket by the client, so that a command
 * need not know which one it talks to. Calls reject with a `CodedError`. A stream ends with an `error` event or
 * throws; `withoutErrorEvents` makes the two one.
 */
export interface ControlService {
  status(options?: ControlOptions): Promise<StatusView>
  peers(options?: ControlOptions): Promise<PeerView[]>
  models(options?: ControlOptions): Promise<ModelView[]>
  share(request: ShareRequest, options?: ControlOptions): AsyncIterable<ShareEvent>
  /** Aborting `signal` frees the session on every stage. */
  generate(request: GenerateRequest, options?: ControlOptions): AsyncIterable<GenerateEvent>
  invite(options?: ControlOptions): Promise<InviteView>
  /**
   * Stops serving a model and deletes what the store holds of it; a shared source file stays. `model`: its name, its
   * manifest hash or the beginning of that.
   */
  remove(model: string, options?: ControlOptions): Promise<RemovedView>
  /** Ends the daemon; resolves when it has begun to stop. */
  stop(options?: ControlOptions): Promise<void>
}
