import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ChaosMesh } from '../chaos/chaos-mesh.js'
import { Course } from '../chaos/course.js'
import { play, requestOf } from '../chaos/play.js'
import type { Act, Schedule } from '../chaos/schedule.js'
import { lineOf } from '../chaos/summary.js'

/** A few of what `npm run chaos` does, chosen so that each of the ways to be lost comes once. */
const ANSWER = { prompt: 'the', temperature: 0, seed: 1, tokens: 400 }
const WARM = { prompt: 'that it was for on', temperature: 0.9, seed: 1, tokens: 300 }

const at = (share: number, act: Act, answer = 0): Schedule['disturbances'][number] => ({ answer, share, act })

const SCHEDULES: Omit<Schedule, 'number'>[] = [
  {
    originServes: true,
    fate: 'completes',
    answers: [WARM],
    disturbances: [
      at(0.1, { do: 'strike', blow: 'kill', stage: 1 }),
      at(0.2, { do: 'strike', blow: 'pause', stage: 2 })
    ]
  },
  {
    originServes: false,
    fate: 'completes',
    answers: [ANSWER, WARM],
    disturbances: [
      at(0, { do: 'strike', blow: 'kill-engine', stage: 0 }),
      at(0.2, { do: 'strike', blow: 'leave', stage: 2 }, 1)
    ]
  },
  {
    originServes: false,
    fate: 'waits',
    answers: [ANSWER],
    disturbances: [at(0.1, { do: 'black-out', blow: 'kill', layer: 0 }), at(0.1, { do: 'restore', of: 0 })]
  },
  {
    originServes: false,
    fate: 'lost',
    answers: [ANSWER],
    disturbances: [at(0.2, { do: 'black-out', blow: 'kill', layer: 0 })]
  }
]

let mesh: ChaosMesh

beforeAll(async () => {
  mesh = await ChaosMesh.start({ partitions: false })
})

afterAll(async () => {
  await mesh[Symbol.asyncDispose]()
})

describe('answers while nodes come and go', () => {
  it.each(SCHEDULES.map((schedule, number) => ({ ...schedule, number })))(
    'schedule $number: $fate, as if nobody had, unless nobody is left',
    async schedule => {
      const played = await play(mesh, schedule, { replay: 'exact' })
      expect(played.faults, lineOf(played)).toEqual([])
      expect(played.acts).toHaveLength(schedule.disturbances.length)
      if (schedule.fate === 'lost') expect(played.courses[0]?.error?.code).toBe('STAGE_LOST')
    }
  )
})

describe('the referee of a chaos run', () => {
  it('tells a single position of the KV that holds another token from rounding', async () => {
    const request = requestOf(WARM, { fate: 'completes', replay: 'exact' })
    const { ended, tokens } = new Course(mesh.origin.service, request, new AbortController().signal)
    await ended
    expect(tokens).toHaveLength(WARM.tokens)
    expect((await mesh.referee.judge(request, tokens)).strange).toEqual([])
    const other = await mesh.referee.judge({ ...request, prompt: WARM.prompt.replace('it', 'is') }, tokens)
    expect(other.strange.length).toBeGreaterThan(WARM.tokens / 10)
  })
})
