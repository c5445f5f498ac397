import type { StreamFormat } from './stream.js'

/** Server-sent events (WHATWG HTML, section 9.2). */
export function eventStream(failed: StreamFormat['failed']): StreamFormat {
  return {
    contentType: 'text/event-stream; charset=utf-8',
    frame: part => `data: ${typeof part === 'string' ? part : JSON.stringify(part)}\n\n`,
    // A comment.
    idle: () => ':\n\n',
    failed
  }
}
