import { describe, expect, it } from 'vitest'
import { DRAIN_MS } from '../../../node/availability/constants.js'
import {
  HEARTBEAT_MS,
  MAX_BODY_BYTES,
  MAX_CHOICES,
  MAX_HEADER_BYTES,
  MAX_INPUTS,
  TURN_MS
} from '../../../node/gateway/constants.js'
import { KINDS } from '../../../node/gateway/errors.js'
import { MAX_LISTENERS } from '../../../node/gateway/page/constants.js'
import { listedModel, runningModel, shownModel } from '../../../node/gateway/ollama/models.js'
import * as ollama from '../../../node/gateway/ollama/schemas.js'
import { embeddingRequest } from '../../../node/gateway/openai/embedding-schema.js'
import { chatRequest, completionRequest } from '../../../node/gateway/openai/schemas.js'
import { MAX_EMBEDDED_TOKENS, MAX_VECTOR_NUMBERS } from '../../../node/pipeline/embedding-input.js'
import { DEFAULT_MAX_TOKENS, DEFAULT_SAMPLING, PENALTY_WINDOW } from '../../../node/pipeline/sampling.js'
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

  it('lists the fields of embeddings, and their bounds', () => {
    expect(fieldsIn('Embeddings').sort()).toEqual(Object.keys(embeddingRequest.shape).sort())
    const said = tableRows(api, 'Embeddings').find(([field]) => field === '`input`')?.[1]
    expect(said).toContain(`at most ${MAX_INPUTS} of either; with at most ${MAX_EMBEDDED_TOKENS} tokens in all`)
    expect(prose(api)).toContain(
      `at most ${MAX_VECTOR_NUMBERS} values: ${MAX_VECTOR_NUMBERS / 4096} of 4096 dimensions`
    )
  })

  it.each([
    ['Fields of /api/chat', ollama.chat, ollama.UNSUPPORTED_IN_CHAT],
    ['Fields of /api/generate', ollama.generate, ollama.UNSUPPORTED_IN_GENERATE],
    ['Fields of /api/show', ollama.show, ollama.UNSUPPORTED_IN_SHOW],
    ['Options', ollama.options, ollama.UNSUPPORTED_OPTIONS]
  ])('lists what Ollama has under %s, each once, and what is refused of it', (section, { shape }, refused) => {
    expect(fieldsIn(section).sort()).toEqual([...Object.keys(shape), ...refused].sort())
    const [, ...rows] = tableRows(api, section)
    const called = rows.filter(([, what = '']) => what.startsWith('refused')).map(([field = '']) => field.slice(1, -1))
    expect(called.sort()).toEqual([...refused].sort())
  })

  it('lists what Ollama is told of models', () => {
    const view = { name: 'toy', manifest: 'ab', architecture: 'llama', layers: 8, cuts: [], complete: true }
    const model = { ...view, missing: [], holders: [], bytes: 1, context: 1 }
    const told = { tags: listedModel(model), ps: runningModel(model), show: shownModel(model) }
    const [, ...rows] = tableRows(api, 'What /api/tags, /api/ps and /api/show tell')
    for (const [endpoint, fields] of Object.entries(told)) {
      const listed = rows.filter(([, where = '']) => where.split(', ').includes(endpoint))
      expect(listed.flatMap(([names = '']) => names.replaceAll('`', '').split(', ')).sort()).toEqual(
        Object.keys(fields).sort()
      )
    }
  })

  it("says what there is instead of Ollama's defaults", () => {
    const said = new Map(tableRows(api, 'Options').map(([option = '', what = '']) => [option.slice(1, -1), what]))
    const { temperature, topK, topP, minP } = DEFAULT_SAMPLING
    for (const [option, value] of Object.entries({ temperature, top_k: topK, top_p: topP, min_p: minP })) {
      expect(said.get(option)).toContain(`; ${value} by default`)
    }
    expect(said.get('num_predict')).toContain(`${DEFAULT_MAX_TOKENS} by default`)
    expect(said.get('repeat_last_n')).toContain(`${PENALTY_WINDOW} only`)
    for (const field of ollama.UNSUPPORTED_IN_MESSAGES) {
      expect(tableRows(api, 'Fields of /api/chat').find(([field]) => field === '`messages`')?.[1]).toContain(field)
    }
    expect(prose(api)).toContain(`after ${HEARTBEAT_MS / 1_000} s of silence`)
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
    expect(text).toContain(`At most ${MAX_LISTENERS} at a time`)
    expect(text).toContain(`after ${DRAIN_MS / 60_000} minutes at the latest`)
    expect(text).toContain(`for ${TURN_MS / 1_000} s at most`)
    expect(text).toContain(`1 to ${MAX_CHOICES} answers`)
    expect(text).toContain(`(${MAX_BODY_BYTES / 2 ** 20} MiB; ${MAX_HEADER_BYTES / 1024} KiB of headers)`)
  })
})
