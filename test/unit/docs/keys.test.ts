import { expect, it } from 'vitest'
import { LOOK_MS, MAX_KEYS, USAGE_WRITE_MS } from '../../../node/gateway/keys/constants.js'
import { page, prose } from './markdown.js'

it.each([
  ['docs/api.md', 'within a quarter of a second', LOOK_MS === 250],
  ['docs/operations.md', 'every quarter of a second', LOOK_MS === 250],
  ['docs/operations.md', `tokens are written every ${USAGE_WRITE_MS / 1_000} s`, true],
  ['docs/errors.md', `there are ${MAX_KEYS} keys`, true]
])('%s says "%s" of keys, as the code has it', (path, said, holds) => {
  expect(holds).toBe(true)
  expect(prose(page(path))).toContain(said)
})
