import { describe, expect, it } from 'vitest'
import { MAX_HEADER_BYTES } from '../../../protocol/limits.js'
import { MAX_MESSAGE_BYTES } from '../../../node/engine/channel.js'
import { MAX_PENDING_BYTES, MAX_PENDING_CALLS } from '../../../node/engine/child-client.js'
import * as estimates from '../../../node/estimate/constants.js'
import { MAX_REQUEST_BYTES, MAX_STREAMS } from '../../../node/control/limits.js'
import * as availability from '../../../node/availability/constants.js'
import * as pipeline from '../../../node/pipeline/constants.js'
import { SESSION_POSITIONS } from '../../../node/pipeline/embedding-input.js'
import { STEPS_IN_FLIGHT } from '../../../node/pipeline/prompt.js'
import { FRAME_MILLISECONDS } from '../../../node/swarm/frame-stream.js'
import * as trust from '../../../node/trust/constants.js'
import { LOCAL_REASONS } from '../../../node/trust/reasons.js'
import { MAX_HELD_WINDOW_BYTES } from '../../../node/swarm/window-updates.js'
import { page, tableRows } from './markdown.js'

const MIB = 2 ** 20

/** What the table must say, by what its rows begin with. */
const BOUNDS: readonly (readonly [string, string])[] = [
  ['steps of one session', String(pipeline.MAX_STEPS_IN_FLIGHT)],
  ['chunks of a prompt', String(STEPS_IN_FLIGHT)],
  ['sessions on one node', `${pipeline.MAX_SESSIONS}, ${pipeline.MAX_SESSIONS_PER_PEER}`],
  ['positions of texts', String(SESSION_POSITIONS)],
  ['silence until', `${pipeline.SESSION_SILENCE_MS / 1_000} s`],
  ['bytes that wait for one', `${trust.MAX_UNSENT_BYTES_PER_PEER / MIB} MiB`],
  ["bytes of one peer's steps", `${trust.MAX_WAITING_BYTES_PER_PEER / MIB} MiB`],
  ['a frame that has begun', `${FRAME_MILLISECONDS / 1_000} s, or twice that`],
  ['the first frame of a', `${pipeline.FIRST_FRAME_MS / 1_000} s`],
  ['streams of one protocol', String(trust.MAX_STREAMS_OF_CONNECTION)],
  ['peers whose rates', String(trust.MAX_REMEMBERED_PEERS)],
  ['bytes that wait for a slow', `${pipeline.MAX_UNSENT_BYTES / MIB} MiB`],
  ['sessions on a shard that is replaced', `${pipeline.RETIRE_MS / 60_000} minutes`],
  ['lost stage', `at once, or ${pipeline.SUSPECT_MS / 1_000} s + ${pipeline.ALIVE_MS / 1_000} s`],
  ['hidden states kept', `${pipeline.MAX_JOURNAL_BYTES / MIB} MiB`],
  ['replayed steps', String(pipeline.REPLAY_STEPS_IN_FLIGHT)],
  ['a peer that failed', `${pipeline.EXCLUDE_MS / 1_000} s`],
  ['a stage that is to take', `${pipeline.FILL_MS / 1_000} s`],
  ['routes tried', String(pipeline.MEND_ATTEMPTS)],
  ['calls under way', `${MAX_PENDING_CALLS}, ${MAX_PENDING_BYTES / MIB} MiB`],
  ['a message between', `${MAX_MESSAGE_BYTES / MIB} MiB`],
  ['stream window', `${MAX_HELD_WINDOW_BYTES / 1024} KiB`],
  ['header of a GGUF', `${MAX_HEADER_BYTES / MIB} MiB`],
  [
    'sessions may stay',
    [availability.PAUSE_DRAIN_MS, availability.LEAVE_DRAIN_MS, availability.DRAIN_MS]
      .map(ms => `${ms / 1_000} s`)
      .join(', ')
  ],
  [
    'others on the machine',
    `${availability.BUSY_SHARE * 100} % for ${availability.BUSY_MS / 1_000} s, ${availability.QUIET_SHARE * 100} % for ${availability.QUIET_MS / 1_000} s`
  ],
  ['entries of `schedule.hours`', `${availability.MAX_HOURS}; ${availability.MAX_PROCESSES}`],
  ['answers that are compared', `${estimates.MAX_HISTORY}, written within ${estimates.WRITE_MS / 1_000} s`],
  ['a control request', `${MAX_REQUEST_BYTES / MIB} MiB, ${MAX_STREAMS}`]
]

describe('docs/architecture.md', () => {
  const rows = tableRows(page('docs/architecture.md'), 'What bounds exist')

  it.each(BOUNDS)('says the bound of %s as the code has it', (name, value) => {
    expect(rows.filter(([title = '']) => title.startsWith(name)).map(([, said]) => said)).toEqual([value])
  })
})

describe('docs/security.md', () => {
  const { text } = page('docs/security.md')
  const limits = tableRows(page('docs/security.md'), 'What one peer may do here')
  const intents = tableRows(page('docs/security.md'), 'Scores and bans').slice(1)

  it.each(Object.entries(trust.SERVICE_LIMITS))('says the limits of %s streams as the code has them', (name, limit) => {
    const [, said] = limits.find(([title]) => title === `\`${name}\` streams`) ?? []
    expect(said).toContain(`${limit.perSecond} a second, ${limit.burst} at once, ${limit.streams} open`)
  })

  it('says the points of every intent as the code has them', () => {
    const points = intents.map(([intent, said = '']) => [
      intent,
      said.includes('/') ? 1 / Number(said.slice(2)) : Number(said)
    ])
    expect(Object.fromEntries(points)).toEqual(trust.WEIGHTS)
  })

  it.each([
    `At a score of ${trust.BAN_SCORE}`,
    `never above ${trust.CARELESS_MOST} points`,
    `halves every ${trust.HALF_LIFE_MS / 60_000} minutes`,
    `first ban is ${trust.BAN_MS / 60_000} minutes`,
    `up to ${trust.LONGEST_BAN_MS / 3_600_000} hours`,
    `${trust.REPEAT_MS / 3_600_000} hours after its end`,
    `for ${trust.WANTED_MS / 1_000} s or until it got in`,
    `${pipeline.MAX_UNSENT_BYTES / MIB} MiB in a stream, ${trust.MAX_UNSENT_BYTES_PER_PEER / MIB} MiB in all`,
    `${FRAME_MILLISECONDS / 1_000} s, at the latest twice that`
  ])('says "%s"', said => expect(text).toContain(said))
})

describe('docs/operations.md', () => {
  it('says what each counter of refusals means that is no status code', () => {
    const rows = tableRows(page('docs/operations.md'), 'Logs').slice(1)
    expect(rows.map(([name = '']) => name.replaceAll('`', '')).sort()).toEqual([...LOCAL_REASONS].sort())
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
