import { CliError } from './errors.js'
import { EXIT } from './exit-codes.js'

export interface Interrupt extends Disposable {
  /** Aborts at the first Ctrl+C (or request to end); the second one ends the process at once. */
  signal: AbortSignal
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

export function interruptible(): Interrupt {
  const controller = new AbortController()
  const onSignal = (): void => {
    if (controller.signal.aborted) process.exit(EXIT.INTERRUPTED)
    controller.abort(new CliError('INTERRUPTED', 'Interrupted.'))
  }
  for (const name of SIGNALS) process.on(name, onSignal)
  return {
    signal: controller.signal,
    [Symbol.dispose]() {
      for (const name of SIGNALS) process.off(name, onSignal)
    }
  }
}
