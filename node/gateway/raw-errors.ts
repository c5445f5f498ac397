import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import { errorBody } from './openai/error-body.js'
import { badRequest, failureOf } from './errors.js'

/** By what Node's parser says; everything else is simply not HTTP. */
const STATUS: Readonly<Record<string, number>> = { HPE_HEADER_OVERFLOW: 431, ERR_HTTP_REQUEST_TIMEOUT: 408 }

/** Answers what does not even arrive as a request. */
export function refuseRaw(
  error: Error & { code?: string },
  socket: Pick<Socket, 'writable' | 'end' | 'destroy'>
): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  const status = STATUS[error.code ?? ''] ?? 400
  const reason = STATUS_CODES[status] ?? ''
  const body = JSON.stringify(errorBody(failureOf(badRequest(`This is no request that HTTP knows: ${reason}.`))))
  const head = [
    `HTTP/1.1 ${status} ${reason}`,
    'Content-Type: application/json; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close'
  ]
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`)
}
