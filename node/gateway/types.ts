export interface GatewaySettings {
  /** Where it listens. `auto`: on this machine alone, at the usual port or, where that is taken, at any; `none`: nowhere. */
  listen: { host: string; port: number } | 'auto' | 'none'
  /** Origins of pages that may use it. */
  origins: readonly string[]
}
