import type { Writable } from 'node:stream'
import pretty from 'pino-pretty'

/** A node's log for people, of the JSON lines that it writes where nobody watches; other lines stay as they are. */
export function readableLog(destination: Writable, { colours }: { colours: boolean }): pretty.PrettyStream {
  return pretty({ destination, colorize: colours, translateTime: 'SYS:yyyy-mm-dd HH:MM:ss', ignore: 'pid,hostname' })
}
