import { expect, test } from 'vitest'
import {
  checkDefaults,
  checkVersion,
  CONTEXT_FIELDS,
  type ContextParams,
  MODEL_FIELDS,
  type ModelParams
} from '../../../node/engine/layout.js'
import { openVocabularyFunctions } from '../../../node/engine/llama.js'
import { codeOf } from './support.js'

function defaultsOf(fields: Record<string, readonly [string, unknown]>): ModelParams & ContextParams {
  return Object.fromEntries(Object.entries(fields).map(([name, [, value]]) => [name, value])) as ModelParams &
    ContextParams
}

test('the installed llama.cpp has the layout that this code expects', () => {
  const llama = openVocabularyFunctions()
  expect(llama.defaultModelParams()).toEqual(defaultsOf(MODEL_FIELDS))
  expect(llama.defaultContextParams()).toEqual(defaultsOf(CONTEXT_FIELDS))
})

test('a field that is not what it should be is named', () => {
  const shifted = { ...defaultsOf(CONTEXT_FIELDS), type_k: 0, type_v: 0 }
  expect(() => checkDefaults('llama_context_params', CONTEXT_FIELDS, shifted)).toThrow(
    expect.objectContaining({
      code: 'LAYOUT_MISMATCH',
      details: { structure: 'llama_context_params', field: 'type_k', expected: 1, received: 0 }
    })
  )
})

test('another version of llama.cpp is refused before its structures are used', () => {
  expect(() => checkVersion('0.5.0-dev')).not.toThrow()
  expect(codeOf(() => checkVersion('0.5.01'))).toBe('LAYOUT_MISMATCH')
  expect(codeOf(() => checkVersion('0.6.0'))).toBe('LAYOUT_MISMATCH')
})
