/** Server-sent events of a response (WHATWG HTML, section 9.2), as far as this node sends them. */

/**
 * @param {Response} response
 * @returns {AsyncGenerator<{ event: string, data: string }>}
 */
export async function* events({ body }) {
  if (body === null) return
  const reader = body.pipeThrough(new TextDecoderStream()).getReader()
  let rest = ''
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      const parts = `${rest}${value}`.split('\n\n')
      rest = parts.pop() ?? ''
      for (const part of parts) {
        const one = parsed(part)
        if (one !== undefined) yield one
      }
    }
  } finally {
    await reader.cancel().catch(() => undefined) // it has failed already
  }
}

/** Undefined: a comment. @param {string} part */
function parsed(part) {
  let event = 'message'
  /** @type {string[]} */
  const data = []
  for (const line of part.split('\n')) {
    if (line.startsWith('event: ')) event = line.slice('event: '.length)
    if (line.startsWith('data: ')) data.push(line.slice('data: '.length))
  }
  return data.length === 0 ? undefined : { event, data: data.join('\n') }
}

/**
 * The message of what a request was refused with.
 * @param {Response} response
 * @returns {Promise<{ message: string, code: string }>}
 */
export async function refusal(response) {
  const body = await response.json().catch(() => ({}))
  const { message = `The node answered with status ${response.status}.`, code = '' } = body.error ?? {}
  return { message: String(message), code: String(code) }
}
