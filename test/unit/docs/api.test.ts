import { describe, expect, it } from 'vitest'
import { MAX_BODY_BYTES, MAX_CHOICES, MAX_HEADER_BYTES, TURN_MS } from '../../../node/gateway/constants.js'
import { KINDS } from '../../../node/gateway/errors.js'
import { chatRequest, completionRequest } from '../../../node/gateway/openai/schemas.js'
import { codeSpans, page, prose, tableRows } from './markdown.js'

const api = page('docs/api.md')

function fieldsIn(section: string): string[] {
  const [, ...rows] = tableRows(api, section)
  return rows.map(([field = '']) => field.replaceAll('`', ''))
}

describe('docs/api.md', () => {
  it('lists the fields of chat completions, each once', () => {
    expect(fieldsIn('Chat completions').sort()).toEqual(Object.keys(chatRequest.shape).sort())
  })

  it('lists the fields of completions', () => {
    const inherited = codeSpans(api).filter(span => span in chatRequest.shape)
    const own = fieldsIn('Completions')
    const all = Object.keys(completionRequest.shape)
    expect(own.filter(field => !all.includes(field))).toEqual([])
    expect(all.filter(field => !own.includes(field) && !inherited.includes(field))).toEqual([])
  })

  it('lists every failure with its status', () => {
    const [, ...rows] = tableRows(api, 'Failures')
    const listed = rows.flatMap(([status, codes = '']) =>
      [...codes.matchAll(/`([a-z_]+)`/g)].map(([, code]) => [code, Number(status)])
    )
    const known = Object.entries(KINDS).map(([own, [status, , code = own.toLowerCase()]]) => [code, status])
    expect(listed.sort()).toEqual(known.sort())
  })

  it('says what the bounds are', () => {
    const text = prose(api)
    expect(text).toContain(`for ${TURN_MS / 1_000} s at most`)
    expect(text).toContain(`1 to ${MAX_CHOICES} answers`)
    expect(text).toContain(`(${MAX_BODY_BYTES / 2 ** 20} MiB; ${MAX_HEADER_BYTES / 1024} KiB of headers)`)
  })
})
