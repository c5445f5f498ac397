import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { errorView } from './errors.js'
import { HEARTBEAT_MS } from './limits.js'

/**
 * Sends events as NDJSON, no faster than they are read, with an empty line now and then while nothing happens. A
 * failure becomes the last event. Ends when `events` do or, with `signal`, when they obey it.
 */
export async function sendEvents(
  response: ServerResponse,
  events: AsyncIterable<object>,
  { signal }: { signal: AbortSignal }
): Promise<void> {
  response.writeHead(200, { 'content-type': 'application/x-ndjson; charset=utf-8' })
  response.flushHeaders()
  const heartbeat = setInterval(() => response.writableNeedDrain || response.write('\n'), HEARTBEAT_MS)
  try {
    for await (const event of events) {
      signal.throwIfAborted()
      if (!response.write(line(event))) await once(response, 'drain', { signal })
    }
  } catch (error) {
    if (response.writable)
      response.write(line({ event: 'error', error: errorView(signal.aborted ? signal.reason : error) }))
  } finally {
    clearInterval(heartbeat)
    response.end()
  }
}

function line(event: object): string {
  return `${JSON.stringify(event)}\n`
}
