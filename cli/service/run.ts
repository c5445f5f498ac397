import { execFile } from 'node:child_process'
import { asError } from '../../protocol/errors.js'
import type { Context } from '../context.js'
import { COMMAND_MS, MAX_OUTPUT_BYTES } from './constants.js'
import { ServiceError } from './errors.js'

export interface Finished {
  code: number
  stdout: string
  stderr: string
}

/**
 * Runs a program of the service manager to its end.
 * @throws ServiceError NO_SERVICE_MANAGER where it is not there, SERVICE_FAILED where it does not end
 */
export type Run = (command: readonly string[]) => Promise<Finished>

/** Found on the PATH of `env`; answers in English. */
export function runner(env: Context['env'], signal: AbortSignal): Run {
  return command => finished(command, { ...env, LC_ALL: 'C' }, signal)
}

function finished([program = '', ...args]: readonly string[], env: Context['env'], signal: AbortSignal) {
  const options = { env, signal, timeout: COMMAND_MS, maxBuffer: MAX_OUTPUT_BYTES, windowsHide: true }
  const { promise, resolve, reject } = Promise.withResolvers<Finished>()
  execFile(program, args, options, (error, stdout, stderr) => {
    const code = error?.code ?? 0
    if (signal.aborted) reject(asError(signal.reason))
    else if (code === 'ENOENT') reject(missing(program))
    else if (typeof code === 'number' && !error?.killed) resolve({ code, stdout, stderr })
    else reject(unfinished([program, ...args], error))
  })
  return promise
}

/** Where the program is not installed. */
export function missing(program: string): ServiceError {
  return new ServiceError(
    'NO_SERVICE_MANAGER',
    `There is no ${program} here, as in most containers, so nothing can run the node for good. \`flambeau up\` works without: let what starts this machine start it.`,
    { details: { program } }
  )
}

/** Where the program is there, and nothing answers it. */
export function unanswered(program: string, { stderr }: Finished): ServiceError {
  const said = stderr.trim().split('\n', 1).join()
  return new ServiceError(
    'NO_SERVICE_MANAGER',
    `${program} finds no service manager of this user (${said}): there is none in most containers, nor after \`su\` or \`sudo\`; log in as the user instead. \`flambeau up\` works without.`,
    { details: { program, said } }
  )
}

function unfinished(command: readonly string[], cause: unknown): ServiceError {
  return new ServiceError('SERVICE_FAILED', `\`${command.join(' ')}\` did not end: ${asError(cause).message}`, {
    details: { command },
    cause
  })
}

/** @throws ServiceError SERVICE_FAILED where it ends with another exit code than 0 */
export function succeeded(command: readonly string[], { code, stderr }: Finished): void {
  if (code === 0) return
  throw new ServiceError('SERVICE_FAILED', `\`${command.join(' ')}\` failed with ${code}: ${stderr.trim()}`, {
    details: { command, exitCode: code }
  })
}
