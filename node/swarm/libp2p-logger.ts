import type { ComponentLogger, Logger as Libp2pLogger } from '@libp2p/interface'

/** What is needed of a pino logger. */
export interface LogSink {
  /** What the owner should know; left out where nobody reads. */
  warn?(facts: object, message: string): void
  debug(facts: object, message: string): void
  trace(facts: object, message: string): void
  isLevelEnabled(level: string): boolean
}

/** The longest argument of a libp2p log line that is kept, characters. */
const MAX_ARGUMENT = 200

const ignore = (): void => undefined

/**
 * libp2p's lines in the node's log: its errors are mostly other peers' doing and come as `debug`, the rest as `trace`.
 * What is not logged costs a call of an empty function.
 */
export function libp2pLogger(sink: LogSink): ComponentLogger {
  return { forComponent: name => scoped(sink, name) }
}

function scoped(sink: LogSink, component: string): Libp2pLogger {
  const enabled = sink.isLevelEnabled('trace')
  const line =
    (level: 'debug' | 'trace') =>
    (format: unknown, ...values: unknown[]) => {
      sink[level]({ component, values: values.map(readable) }, String(format))
    }
  return Object.assign(enabled ? line('trace') : ignore, {
    enabled,
    trace: enabled ? line('trace') : ignore,
    error: sink.isLevelEnabled('debug') ? line('debug') : ignore,
    newScope: (name: string) => scoped(sink, `${component}:${name}`)
  })
}

/** Bytes from the network are never logged, only their number. */
function readable(value: unknown): string | number {
  if (typeof value === 'number') return value
  if (value instanceof Uint8Array) return `${value.byteLength} bytes`
  return String(value).slice(0, MAX_ARGUMENT)
}
