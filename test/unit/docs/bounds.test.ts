import { describe, expect, it } from 'vitest'
import { MAX_HEADER_BYTES } from '../../../protocol/limits.js'
import { MAX_MESSAGE_BYTES } from '../../../node/engine/channel.js'
import { MAX_PENDING_BYTES, MAX_PENDING_CALLS } from '../../../node/engine/child-client.js'
import { MAX_REQUEST_BYTES, MAX_STREAMS } from '../../../node/control/limits.js'
import * as pipeline from '../../../node/pipeline/constants.js'
import { STEPS_IN_FLIGHT } from '../../../node/pipeline/prompt.js'
import { MAX_HELD_WINDOW_BYTES } from '../../../node/swarm/window-updates.js'
import { page, tableRows } from './markdown.js'

const MIB = 2 ** 20

/** What the table must say, by what its rows begin with. */
const BOUNDS: readonly (readonly [string, string])[] = [
  ['steps of one session', String(pipeline.MAX_STEPS_IN_FLIGHT)],
  ['chunks of a prompt', String(STEPS_IN_FLIGHT)],
  ['sessions on one node', `${pipeline.MAX_SESSIONS}, ${pipeline.MAX_SESSIONS_PER_PEER}`],
  ['silence until', `${pipeline.SESSION_SILENCE_MS / 1_000} s`],
  ['bytes that wait', `${pipeline.MAX_UNSENT_BYTES / MIB} MiB`],
  ['sessions on a shard that is replaced', `${pipeline.RETIRE_MS / 60_000} minutes`],
  ['lost stage', `at once, or ${pipeline.SUSPECT_MS / 1_000} s + ${pipeline.ALIVE_MS / 1_000} s`],
  ['calls under way', `${MAX_PENDING_CALLS}, ${MAX_PENDING_BYTES / MIB} MiB`],
  ['a message between', `${MAX_MESSAGE_BYTES / MIB} MiB`],
  ['stream window', `${MAX_HELD_WINDOW_BYTES / 1024} KiB`],
  ['header of a GGUF', `${MAX_HEADER_BYTES / MIB} MiB`],
  ['a control request', `${MAX_REQUEST_BYTES / MIB} MiB, ${MAX_STREAMS}`]
]

describe('docs/architecture.md', () => {
  const rows = tableRows(page('docs/architecture.md'), 'What bounds exist')

  it.each(BOUNDS)('says the bound of %s as the code has it', (name, value) => {
    expect(rows.filter(([title = '']) => title.startsWith(name)).map(([, said]) => said)).toEqual([value])
  })
})

describe('docs/decisions/0006', () => {
  const { text } = page('docs/decisions/0006-detection-of-lost-stages.md')

  it.each(['SUSPECT_MS', 'ALIVE_MS', 'STEP_MS'] as const)('says %s as the code has it', name => {
    expect(text).toContain(`\`${name}\` (${pipeline[name] / 1_000} s)`)
  })

  it('says how long a stage waits in silence', () => {
    expect(text).toContain(`${pipeline.SESSION_SILENCE_MS / 1_000} s`)
  })
})
