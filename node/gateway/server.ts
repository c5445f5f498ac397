import type { AddressInfo } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { ControlError } from '../control/errors.js'
import type { ControlService } from '../control/service.js'
import type { Logger } from '../logger.js'
import type { EmbeddingService } from '../pipeline/embedding-types.js'
import { SwarmError } from '../swarm/errors.js'
import { isLoopback } from './access.js'
import { buildApp } from './app.js'
import { DEFAULT_PORT } from './constants.js'
import type { HealthParts } from './health.js'
import { KeyError } from './keys/errors.js'
import type { Keyring } from './keys/keyring.js'
import type { PageParts } from './page/page.js'
import { Running } from './running.js'
import { Turns } from './turns.js'
import type { GatewaySettings } from './types.js'

export interface GatewayParts {
  service: Pick<ControlService, 'generate' | 'models'> & EmbeddingService
  logger: Pick<Logger, 'info' | 'warn' | 'error' | 'debug'>
  /** Without it there are no keys, and it serves this machine only. */
  keyring?: Keyring
  /** Without it nobody can watch over the node, and nothing is counted. */
  health?: HealthParts
  /** Without it there is no page. */
  page?: PageParts
}

const LOOPBACK = '127.0.0.1'

/** The HTTP interface for other people's programs: OpenAI's, and Ollama's. */
export class Gateway {
  readonly #parts: GatewayParts
  readonly #settings: GatewaySettings
  readonly #turns: Pick<ControlService, 'generate'> & EmbeddingService
  readonly #running = new Running()
  #app: FastifyInstance | undefined
  #url: string | undefined
  /** Only this machine reaches it. */
  #isForOwner = false

  constructor(parts: GatewayParts, settings: GatewaySettings) {
    this.#parts = parts
    this.#settings = settings
    const turns = new Turns(parts)
    this.#turns = parts.health?.metrics.answersInTurn(turns) ?? turns
  }

  /** Where it is reached, such as http://127.0.0.1:27471; undefined where it is not. */
  get url(): string | undefined {
    return this.#url
  }

  /** Where its page is, with the owner's secret where the owner can use it; undefined where there is none. */
  get pageUrl(): string | undefined {
    const { page } = this.#parts
    if (this.#url === undefined || page === undefined) return undefined
    return this.#isForOwner ? `${this.#url}/#owner=${page.secret}` : this.#url
  }

  /** @throws SwarmError PORT_TAKEN, ADDRESS_INVALID; KeyError KEYS_NEEDED, KEYS_DAMAGED */
  async start(): Promise<void> {
    const { listen } = this.#settings
    if (listen === 'none' || this.#app !== undefined) return
    const { host, port } = listen === 'auto' ? { host: LOOPBACK, port: DEFAULT_PORT } : listen
    const { keyring } = this.#parts
    this.#isForOwner = isLoopback(host)
    await keyring?.start()
    if (!isLoopback(host) && keyring?.hasAny() !== true) throw keysNeeded({ host, port })
    const { origins } = this.#settings
    const app = buildApp({ ...this.#parts, turns: this.#turns, running: this.#running }, { host, origins })
    this.#app = app
    try {
      await app.listen({ host, port })
    } catch (error) {
      if (listen !== 'auto' || !isTaken(error)) throw cannotListen(error, { host, port })
      this.#parts.logger.warn({ port }, 'the usual port of the gateway is taken: it uses another one')
      await app.listen({ host, port: 0 })
    }
    const address = app.server.address() as AddressInfo
    this.#url = `http://${address.family === 'IPv6' ? `[${address.address}]` : address.address}:${address.port}`
  }

  /** Answers that are under way end with an error. */
  async stop(): Promise<void> {
    const app = this.#app
    if (app === undefined) return
    this.#app = undefined
    this.#url = undefined
    await this.#running.stop(new ControlError('STOPPING', 'This node is stopping.'))
    await app.close()
    await this.#parts.keyring?.stop()
  }
}

function keysNeeded({ host, port }: { host: string; port: number }): KeyError {
  const message =
    `Other machines can reach the gateway's address ${host}:${port}, so it needs keys, and there is no valid one. ` +
    'Make one with `flambeau key create --name NAME`, or let it listen on 127.0.0.1.'
  return new KeyError('KEYS_NEEDED', message, { details: { host, port } })
}

function isTaken(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'EADDRINUSE'
}

function cannotListen(error: unknown, { host, port }: { host: string; port: number }): SwarmError {
  const cause = error as NodeJS.ErrnoException
  const code = isTaken(error) ? 'PORT_TAKEN' : 'ADDRESS_INVALID'
  const what = isTaken(error) ? 'is taken' : `cannot be used (${cause.message})`
  return new SwarmError(code, `The gateway's address ${host}:${port} ${what}. Choose another one with --gateway.`, {
    details: { host, port },
    cause
  })
}
