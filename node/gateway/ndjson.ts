import type { StreamFormat } from './stream.js'

/** One JSON object a line. @param idle what a client reads without any effect: lines that are empty upset some */
export function lines({ idle, failed }: { idle: () => object; failed: StreamFormat['failed'] }): StreamFormat {
  const frame = (part: object | string): string => `${JSON.stringify(part)}\n`
  return { contentType: 'application/x-ndjson', frame, idle: () => frame(idle()), failed }
}
