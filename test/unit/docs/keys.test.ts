import { expect, it } from 'vitest'
import { LOOK_MS, MAX_KEYS, USAGE_WRITE_MS } from '../../../node/gateway/keys/constants.js'
import { page, prose } from './markdown.js'

it.each([
  ['docs/api.md', `within ${LOOK_MS} ms`],
  ['docs/operations.md', `every ${LOOK_MS} ms while answers for keys are under way`],
  ['docs/operations.md', `tokens are written every ${USAGE_WRITE_MS / 1_000} s`],
  ['docs/errors.md', `there are ${MAX_KEYS} keys`]
])('%s says "%s", as the code has it', (path, said) => {
  expect(prose(page(path))).toContain(said)
})
