/**
 * Who may use the gateway from where. Where it needs no key anybody on this machine may, and so may every page in its browser
 * unless it is told apart: a page of another site has an `Origin` of its own, and one whose name was made to point to this
 * machine (DNS rebinding) has that name as `Host`. Such a page has no key, so where one is needed any `Host` will do.
 */
import { isIP } from 'node:net'
import { ipScope } from '../swarm/ip-scope.js'
import { GatewayError } from './errors.js'

export interface AccessSettings {
  /** Where the gateway listens, an IP address or a name. */
  host: string
  /** Origins of pages that may use it, such as https://chat.example.org, next to its own. */
  origins: readonly string[]
}

const LOOPBACK_NAMES: ReadonlySet<string> = new Set(['localhost', '127.0.0.1', '[::1]'])

/** What a browser asks before a request of another origin, and may remember. */
const METHODS = 'GET, POST, DELETE, OPTIONS'
const PREFLIGHT_SECONDS = 600

/** Is it an address, or a name, that only this machine itself reaches? */
export function isLoopback(host: string): boolean {
  return host.toLowerCase() === 'localhost' || ipScope(host) === 'loopback'
}

export class Access {
  /** Undefined: any. */
  readonly #names: ReadonlySet<string> | undefined
  readonly #origins: ReadonlySet<string>

  constructor({ host, origins }: AccessSettings) {
    const own = isIP(host) === 6 ? `[${host}]` : host.toLowerCase()
    this.#names = isLoopback(host) ? new Set([...LOOPBACK_NAMES, own]) : undefined
    this.#origins = new Set(origins)
  }

  /**
   * @param host the header `Host` @param origin the header `Origin`, which browsers send with what pages ask for
   * @returns headers that let the page of another origin read the answer
   * @throws GatewayError WRONG_HOST, FOREIGN_ORIGIN
   */
  check({ host, origin }: { host?: string | undefined; origin?: string | undefined }): Record<string, string> {
    const name = nameOf(host)
    if (name === undefined || this.#names?.has(name) === false) {
      throw new GatewayError(
        'WRONG_HOST',
        `This node is not called ${JSON.stringify(name ?? '')}: use http://127.0.0.1.`
      )
    }
    if (origin === undefined || origin === `http://${host}`) return {}
    if (!this.#origins.has(origin)) {
      throw new GatewayError(
        'FOREIGN_ORIGIN',
        `Pages of ${JSON.stringify(origin)} may not use this node. Its owner can allow them with gateway.origins.`
      )
    }
    return { 'access-control-allow-origin': origin, vary: 'Origin' }
  }
}

/** Next to those of `check`, in answer to a browser's question whether it may. @param asked the headers it wants to send */
export function preflightHeaders(asked: string | undefined): Record<string, string> {
  return {
    'access-control-allow-methods': METHODS,
    ...(asked !== undefined && { 'access-control-allow-headers': asked }),
    'access-control-max-age': String(PREFLIGHT_SECONDS)
  }
}

/** Without its port, in small letters. */
function nameOf(host: string | undefined): string | undefined {
  return host === undefined ? undefined : /^(\[[^\]]*\]|[^:]*)(?::\d+)?$/.exec(host.toLowerCase())?.[1]
}
