import { pino, type Logger } from 'pino'
import pretty from 'pino-pretty'

export type { Logger }

export interface LoggerOptions {
  level: string
  /** For people; by default where standard error is a terminal. JSON lines otherwise. */
  readable?: boolean
  /** By default as the terminal and NO_COLOR say. */
  colours?: boolean
}

/** File descriptor of standard error: standard output belongs to answers. */
const STANDARD_ERROR = 2

/** A logger on standard error. Written at once, so that the last lines before an exit are not lost. */
export function createLogger({ level, readable = process.stderr.isTTY, colours }: LoggerOptions): Logger {
  const destination = pino.destination({ dest: STANDARD_ERROR, sync: true })
  if (!readable) return pino({ level, base: null }, destination)
  const colorize = colours ?? !process.env['NO_COLOR']
  const stream = pretty({ destination, sync: true, colorize, translateTime: 'SYS:HH:MM:ss', ignore: 'pid,hostname' })
  return pino({ level, base: null }, stream)
}
