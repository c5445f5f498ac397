import { request, type IncomingMessage, type RequestOptions } from 'node:http'
import { connect } from 'node:net'
import { asError } from '../../protocol/errors.js'
import { deadline } from '../deadline.js'
import type { AvailabilityView } from '../availability/types.js'
import type { Home } from '../home.js'
import type {
  ErrorView,
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
import { ControlError, RemoteError, withoutErrorEvents } from './errors.js'
import { CALL_MS, MAX_ANSWER_BYTES, MAX_EVENT_BYTES, PROBE_MS, SILENCE_MS } from './limits.js'
import type { EstimateView, PlanRequest, PlanView } from './plan.js'
import type { ControlOptions, ControlService, InviteView, RemovedView } from './service.js'

/** The daemon of this home, or undefined where none listens. */
export async function connectToDaemon(home: Pick<Home, 'controlSocket'>): Promise<ControlService | undefined> {
  return (await answers(home.controlSocket)) ? new ControlClient(home.controlSocket) : undefined
}

/** Whether anybody accepts connections on a socket or pipe. */
function answers(socketPath: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = connect(socketPath)
    const settle = (answer: boolean): void => {
      socket.destroy()
      resolve(answer)
    }
    socket.setTimeout(PROBE_MS, () => settle(false))
    socket.once('connect', () => settle(true))
    socket.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EACCES' && error.code !== 'EPERM') settle(false)
      else reject(new ControlError('CONTROL_SOCKET', `The daemon's socket ${socketPath} belongs to another user.`))
    })
  })
}

/** The control service of a daemon in another process. Light on purpose: only `node:http`. */
class ControlClient implements ControlService {
  readonly #socketPath: string

  constructor(socketPath: string) {
    this.#socketPath = socketPath
  }

  status(options?: ControlOptions): Promise<StatusView> {
    return this.#call('GET', '/v1/status', options)
  }

  peers(options?: ControlOptions): Promise<PeerView[]> {
    return this.#call('GET', '/v1/peers', options)
  }

  models(options?: ControlOptions): Promise<ModelView[]> {
    return this.#call('GET', '/v1/models', options)
  }

  plan(body: PlanRequest, options?: ControlOptions): Promise<PlanView> {
    return this.#call('POST', '/v1/plan', { ...options, body })
  }

  estimates(options?: ControlOptions): Promise<EstimateView[]> {
    return this.#call('GET', '/v1/estimates', options)
  }

  invite(options?: ControlOptions): Promise<InviteView> {
    return this.#call('POST', '/v1/invite', options)
  }

  remove(model: string, options?: ControlOptions): Promise<RemovedView> {
    return this.#call('DELETE', `/v1/models/${encodeURIComponent(model)}`, options)
  }

  pause(body: PauseRequest, options?: ControlOptions): Promise<AvailabilityView> {
    return this.#call('POST', '/v1/pause', { ...options, body })
  }

  resume(options?: ControlOptions): Promise<AvailabilityView> {
    return this.#call('POST', '/v1/resume', options)
  }

  async stop(body: StopRequest, options?: ControlOptions): Promise<void> {
    await this.#call('POST', '/v1/stop', { ...options, body })
  }

  share(body: ShareRequest, options?: ControlOptions): AsyncIterable<ShareEvent> {
    return withoutErrorEvents(this.#stream<ShareEvent>('/v1/share', body, options))
  }

  generate(body: GenerateRequest, options?: ControlOptions): AsyncIterable<GenerateEvent> {
    return withoutErrorEvents(this.#stream<GenerateEvent>('/v1/generate', body, options))
  }

  async #call<Answer>(
    method: string,
    path: string,
    { signal, body }: ControlOptions & { body?: object } = {}
  ): Promise<Answer> {
    using limit = deadline("the daemon's answer", CALL_MS, signal)
    try {
      const response = await this.#request({ method, path, signal: limit.signal }, body && JSON.stringify(body))
      const text = await readAll(response)
      if (response.statusCode !== 200) throw refusal(response.statusCode, text)
      return parseJson(text) as Answer
    } catch (error) {
      throw limit.signal.aborted ? limit.signal.reason : lost(error)
    }
  }

  async *#stream<Event extends { event: string }>(
    path: string,
    body: object,
    { signal }: ControlOptions = {}
  ): AsyncGenerator<Event, void, undefined> {
    let last: string | undefined
    try {
      const response = await this.#request({ method: 'POST', path, ...(signal && { signal }) }, JSON.stringify(body))
      if (response.statusCode !== 200) throw refusal(response.statusCode, await readAll(response))
      for await (const line of lines(response)) {
        const event = parseJson(line) as Event
        last = event.event
        yield event
      }
    } catch (error) {
      throw signal?.aborted ? signal.reason : lost(error)
    }
    if (last === undefined || !FINAL_EVENTS.has(last)) throw lost(new Error('the answer has no end'))
  }

  #request(options: RequestOptions, body?: string): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const headers = body === undefined ? {} : { 'content-type': 'application/json' }
      const outgoing = request({ ...options, headers, socketPath: this.#socketPath, agent: false }, resolve)
      outgoing.setTimeout(SILENCE_MS, () => {
        // After this process itself was suspended, what came meanwhile is read in the next turn.
        const read = outgoing.socket?.bytesRead
        setImmediate(() =>
          setImmediate(() => {
            if (outgoing.socket?.bytesRead !== read) return
            outgoing.destroy(new Error(`no sign of life for ${SILENCE_MS / 1000} s`))
          })
        )
      })
      outgoing.once('error', reject)
      outgoing.end(body)
    })
  }
}

const FINAL_EVENTS: ReadonlySet<string> = new Set(['done', 'shared', 'error'])

async function readAll(response: IncomingMessage): Promise<string> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of response as AsyncIterable<Uint8Array>) {
    size += chunk.byteLength
    if (size > MAX_ANSWER_BYTES) throw unreadable(`an answer of more than ${MAX_ANSWER_BYTES} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

/** Lines with something in them; the empty ones are heartbeats. */
async function* lines(response: IncomingMessage): AsyncGenerator<string, void, undefined> {
  response.setEncoding('utf8')
  let rest = ''
  for await (const chunk of response as AsyncIterable<string>) {
    const parts = (rest + chunk).split('\n')
    rest = parts.pop() ?? ''
    if (rest.length > MAX_EVENT_BYTES) throw unreadable(`an event of more than ${MAX_EVENT_BYTES} bytes`)
    yield* parts.filter(part => part !== '')
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw unreadable(JSON.stringify(text.slice(0, 80)))
  }
}

function refusal(status: number | undefined, text: string): Error {
  const body = parseJson(text)
  if (typeof body === 'object' && body !== null && 'error' in body && isErrorView(body.error)) {
    return new RemoteError(body.error)
  }
  return status === 503
    ? new ControlError('STOPPING', 'The daemon is stopping.')
    : unreadable(`HTTP status ${String(status)}`)
}

function isErrorView(value: unknown): value is ErrorView {
  return typeof value === 'object' && value !== null && 'code' in value && 'message' in value && 'details' in value
}

function unreadable(what: string): ControlError {
  return new ControlError(
    'DAEMON_PROTOCOL',
    `The daemon answered ${what}. It may be of another version: restart it with this one.`
  )
}

/** What a broken connection means; errors with a code of our own pass unchanged. */
function lost(caught: unknown): Error {
  if (caught instanceof ControlError || caught instanceof RemoteError) return caught
  return new ControlError(
    'DAEMON_LOST',
    `The daemon went away before the answer was complete (${asError(caught).message}). See its log, then start it again with \`flambeau up\`.`,
    { cause: caught }
  )
}
