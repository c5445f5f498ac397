import type { Logger } from '../node/logger.js'

const EVENTS = ['uncaughtException', 'unhandledRejection'] as const

/**
 * A long-running node goes on when an error has nobody to catch it: libp2p lets some out of event handlers when a
 * connection dies at the wrong moment (js-libp2p #3415), and a stranger must not be able to end a node that way.
 */
export function surviveStrayErrors({ logger }: { logger: Pick<Logger, 'error'> }): Disposable {
  const onError = (err: unknown): void => logger.error({ err }, 'an error that nobody caught; the node goes on')
  for (const event of EVENTS) process.on(event, onError)
  return {
    [Symbol.dispose]() {
      for (const event of EVENTS) process.off(event, onError)
    }
  }
}
