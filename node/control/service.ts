import type { AvailabilityView } from '../availability/types.js'
import type {
  GenerateEvent,
  GenerateRequest,
  ModelView,
  PauseRequest,
  PeerView,
  ShareEvent,
  ShareRequest,
  StatusView,
  StopRequest
} from './contract.js'
import type { EstimateView, PlanRequest, PlanView } from './plan.js'

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

export interface GenerateOptions extends ControlOptions {
  /** On whose behalf, where it is not the owner's: nobody goes on from another's conversation. */
  caller?: string | undefined
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
  /** What to expect of a model, or of a file that could become one. */
  plan(request: PlanRequest, options?: ControlOptions): Promise<PlanView>
  /** The last answers with what was expected of them, oldest first. */
  estimates(options?: ControlOptions): Promise<EstimateView[]>
  share(request: ShareRequest, options?: ControlOptions): AsyncIterable<ShareEvent>
  /** Aborting `signal` frees the session on every stage. */
  generate(request: GenerateRequest, options?: GenerateOptions): AsyncIterable<GenerateEvent>
  invite(options?: ControlOptions): Promise<InviteView>
  /**
   * Stops serving a model and deletes what the store holds of it; a shared source file stays. `model`: its name, its
   * manifest hash or the beginning of that.
   */
  remove(model: string, options?: ControlOptions): Promise<RemovedView>
  /** Serves nothing for a while: sessions move or end, then the engine stops. Resolves when that has begun. */
  pause(request: PauseRequest, options?: ControlOptions): Promise<AvailabilityView>
  /** Lifts the owner's pause; without one, overrules the schedule and a busy machine until they change. */
  resume(options?: ControlOptions): Promise<AvailabilityView>
  /** Ends the daemon once its sessions have moved or ended, or their time is over; resolves when that has begun. */
  stop(request: StopRequest, options?: ControlOptions): Promise<void>
}
