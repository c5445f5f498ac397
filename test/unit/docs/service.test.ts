import { describe, expect, it } from 'vitest'
import {
  FINAL_EXITS,
  MAX_STARTS,
  RESTART_SECONDS,
  START_MS,
  STARTS_SECONDS,
  STOP_SECONDS
} from '../../../cli/service/constants.js'
import { LEAVE_DRAIN_MS } from '../../../node/availability/constants.js'
import { page } from './markdown.js'

const { text } = page('docs/operations.md')

describe('docs/operations.md, of the service', () => {
  it.each([
    `again after ${RESTART_SECONDS} s, at most ${MAX_STARTS} times in ${STARTS_SECONDS / 60} minutes, not after exit ${FINAL_EXITS.join(' or ')}`,
    `SIGKILL after ${STOP_SECONDS} s: sessions may move or end for ${LEAVE_DRAIN_MS / 1_000} s`,
    `waits up to ${START_MS / 1_000} s for it to answer`
  ])('says "%s"', said => expect(text).toContain(said))
})
