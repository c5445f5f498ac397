import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { ProtocolError } from '../../../protocol/protocol-error.js'
import type { StageReply, StageRequest } from '../../../protocol/stage.js'
import { ALIVE_MS, OPEN_MS, SILENT_STEPS, STEP_MS, SUSPECT_MS } from '../../../node/pipeline/constants.js'
import type { RingSession } from '../../../node/pipeline/ring-session.js'
import type { StepAnswer } from '../../../node/pipeline/session-types.js'
import { VOCABULARY, WIDTH } from './layer-engine.js'
import { obliging, openScripted, scriptedRoute, starOnly } from './scripted-route.js'
import { hiddenStep, WANT_ONE } from './sessions.js'

const step = (session: RingSession, token = 1, position = 0): Promise<StepAnswer> => {
  const answer = session.step({ tokens: Uint32Array.of(token), position, want: WANT_ONE })
  answer.catch(() => undefined)
  return answer
}

const result = (sequence: number, ids: number[][], embedding?: Float32Array): StageReply => ({
  type: 'result',
  result: {
    sequence,
    rows: ids.map(row => ({
      ids: Uint32Array.from(row),
      logits: new Float32Array(row.length),
      logSumExp: undefined,
      ...(embedding && { embedding })
    })),
    timings: []
  }
})

describe('a stage that lies', () => {
  const lies: [string, number, StageReply][] = [
    ['too few rows', 1, result(1, [])],
    ['too many rows', 1, result(1, [[1], [2]])],
    ['too few candidates', 1, result(1, [[]])],
    ['too many candidates', 1, result(1, [[1, 2]])],
    ['an id outside the vocabulary', 1, result(1, [[VOCABULARY]])],
    ['a result for a step that was never sent', 1, result(2, [[1]])],
    ['a result from a stage without the head', 0, result(1, [[1]])],
    ['hidden states that were meant for the next stage', 0, forward(1, 0)],
    ['hidden states from the head', 1, forward(1, 0)],
    ['opened, unasked', 0, { type: 'opened', rowsPerStep: 1 }],
    ['linked, unasked', 1, { type: 'linked' }],
    ['UNREACHABLE, unasked', 0, { type: 'fault', fault: { code: 'UNREACHABLE', message: '' } }]
  ]
  it.each(lies)('is STAGE_FAULTY and ends the session: %s', async (_, index, lie) => {
    const route = scriptedRoute(2)
    const session = await openScripted(route)
    const answer = step(session)
    route.stage(index).handlers.onReply(lie)
    const faulty = { code: 'STAGE_FAULTY', details: { peer: `peer ${index}` } }
    await expect(answer).rejects.toMatchObject(faulty)
    await expect(step(session)).rejects.toMatchObject(faulty)
    expect(route.stages.map(({ closed }) => closed)).toEqual([true, true])
  })

  it.each([
    ['twice', [forward(1, 0), forward(1, 0)]],
    ['of a step that was never sent', [forward(2, 0)]],
    ['at another position', [forward(1, 1)]],
    ['of another number of rows', [forward(1, 0, 2)]]
  ])('is STAGE_FAULTY when the origin should carry on hidden states %s', async (_, replies) => {
    const route = scriptedRoute(2, starOnly)
    const session = await openScripted(route)
    const answer = step(session)
    for (const reply of replies) route.stage(0).handlers.onReply(reply)
    await expect(answer).rejects.toMatchObject({ code: 'STAGE_FAULTY', details: { peer: 'peer 0' } })
    expect(route.stage(1).requests.filter(({ type }) => type === 'step')).toHaveLength(replies.length - 1)
  })

  it('cannot change what the head is asked for', async () => {
    const route = scriptedRoute(2, starOnly)
    const session = await openScripted(route)
    void step(session)
    const lie = { ...hiddenStep(1, 0, new Array<number>(WIDTH).fill(1)), want: { ...WANT_ONE, candidates: 1_000 } }
    route.stage(0).handlers.onReply({ type: 'forward', step: lie })
    expect(route.stage(1).requests.at(-1)).toMatchObject({ type: 'step', step: { want: WANT_ONE } })
    session.close()
  })

  it.each([
    ['of another width', Float32Array.of(1, 2, 3)],
    ['of NaN', Float32Array.of(1, NaN, 3, 4)],
    ['of infinity', Float32Array.of(1, 2, -Infinity, 4)],
    ['of zeros', new Float32Array(WIDTH)],
    ['that is not there', undefined]
  ])('is STAGE_FAULTY where it owes an embedding: one %s', async (_, embedding) => {
    const route = scriptedRoute(1)
    const session = await openScripted(route)
    const want = { rows: 1, candidates: 0, ids: [], logSumExp: false, embedding: true }
    const answer = session.step({ tokens: Uint32Array.of(1), position: 0, want })
    route.stage(0).handlers.onReply(result(1, [[]], embedding))
    await expect(answer).rejects.toMatchObject({ code: 'STAGE_FAULTY', details: { peer: 'peer 0' } })
  })

  it('is STAGE_FAULTY with an embedding that nobody wanted', async () => {
    const route = scriptedRoute(1)
    const session = await openScripted(route)
    const answer = step(session)
    route.stage(0).handlers.onReply(result(1, [[1]], Float32Array.of(1, 2, 3, 4)))
    await expect(answer).rejects.toMatchObject({ code: 'STAGE_FAULTY', details: { peer: 'peer 0' } })
  })

  it('is STAGE_FAULTY when its bytes do not decode', async () => {
    const route = scriptedRoute(1)
    const session = await openScripted(route)
    const answer = step(session)
    route.stage(0).handlers.onLost(new ProtocolError('MALFORMED', 'nonsense'))
    await expect(answer).rejects.toMatchObject({ code: 'STAGE_FAULTY', details: { peer: 'peer 0' } })
  })

  it('never makes an answer out of order, whatever it says', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ sequence: fc.integer({ min: 1, max: 5 }), ids: fc.array(fc.nat(70), { maxLength: 2 }) })),
        async replies => {
          const route = scriptedRoute(1)
          const session = await openScripted(route)
          const answers = [1, 2, 3].map(async n => step(session, n, n - 1))
          for (const { sequence, ids } of replies) route.stage(0).handlers.onReply(result(sequence, [ids]))
          session.close()
          for (const settled of await Promise.allSettled(answers)) {
            if (settled.status === 'rejected') continue
            expect(settled.value.rows).toHaveLength(1)
            for (const { ids } of settled.value.rows) expect(ids.every(id => id < VOCABULARY)).toBe(true)
          }
        }
      ),
      { numRuns: 50 }
    )
  })
})

describe('a fault of a stage', () => {
  it.each([
    ['LEAVING', 'STAGE_LOST', 'peer 0'],
    ['ENGINE_FAILED', 'STAGE_LOST', 'peer 0'],
    ['BUSY', 'NO_ROUTE', 'peer 0'],
    ['CONTEXT_FULL', 'CONTEXT_EXCEEDED', 'peer 0'],
    ['NOT_FINITE', 'STAGE_REFUSED', 'peer 0']
  ] as const)('%s ends every step under way with %s of %s', async (status, code, peer) => {
    const route = scriptedRoute(2)
    const session = await openScripted(route)
    const answers = [0, 1, 2].map(async n => step(session, n, n))
    route.stage(0).handlers.onReply({ type: 'fault', fault: { code: status, message: 'because' } })
    for (const answer of answers) await expect(answer).rejects.toMatchObject({ code, details: { peer, status } })
    expect(route.stages.map(({ closed }) => closed)).toEqual([true, true])
  })

  it('counts once: whatever comes after it is not looked at', async () => {
    const route = scriptedRoute(1)
    const session = await openScripted(route)
    const answer = step(session)
    const { handlers } = route.stage(0)
    handlers.onReply({ type: 'fault', fault: { code: 'TIMEOUT', message: 'first' } })
    handlers.onReply(result(1, [[1]]))
    handlers.onLost(new Error('second'))
    await expect(answer).rejects.toMatchObject({ details: { status: 'TIMEOUT' } })
  })

  it('at open is what opening the session rejects with', async () => {
    const refuse = (code: 'UNKNOWN_MODEL' | 'BUSY') => (): StageReply => ({
      type: 'fault',
      fault: { code, message: '' }
    })
    await expect(openScripted(scriptedRoute(2, refuse('UNKNOWN_MODEL')))).rejects.toMatchObject({
      code: 'STAGE_REFUSED',
      details: { status: 'UNKNOWN_MODEL' }
    })
    const mixed = scriptedRoute(2, (request, index) => (index === 1 ? refuse('BUSY')() : obliging(request)))
    await expect(openScripted(mixed)).rejects.toMatchObject({ details: { status: 'BUSY', peer: 'peer 1' } })
    expect(mixed.stages.map(({ closed }) => closed)).toEqual([true, true])
  })

  it('at open that is no answer to it is STAGE_FAULTY', async () => {
    const route = scriptedRoute(1, () => ({ type: 'linked' }))
    await expect(openScripted(route)).rejects.toMatchObject({ code: 'STAGE_FAULTY', details: { peer: 'peer 0' } })
  })
})

describe('a stage that says nothing', () => {
  beforeEach(() => {
    vi.useFakeTimers()
  })
  afterEach(() => {
    vi.useRealTimers()
  })

  it('is lost at open after the limit', async () => {
    const opening = openScripted(scriptedRoute(1, () => undefined))
    const expected = expect(opening).rejects.toMatchObject({ code: 'STAGE_LOST', details: { peer: 'peer 0' } })
    await vi.advanceTimersByTimeAsync(OPEN_MS)
    await expected
    expect(vi.getTimerCount()).toBe(0)
  })

  it.each([
    ['opened', (): undefined => undefined],
    ['linked', (request: StageRequest) => (request.type === 'open' ? obliging(request) : undefined)]
  ])('is lost before it is %s when it does not say that it lives either', async (_what, answer) => {
    const route = scriptedRoute(2, answer)
    route.ping.run = async peer => (peer === 'peer 0' ? new Promise(() => undefined) : undefined)
    const expected = expect(openScripted(route)).rejects.toMatchObject({
      code: 'STAGE_LOST',
      details: { peer: 'peer 0' }
    })
    await vi.advanceTimersByTimeAsync(SUSPECT_MS + ALIVE_MS)
    await expected
    expect(route.stages.map(({ closed }) => closed)).toEqual([true, true])
    expect(vi.getTimerCount()).toBe(0)
  })

  it('is lost within SUSPECT_MS + ALIVE_MS of a step or within three steps, whenever that was sent', async () => {
    for (const before of [0, SUSPECT_MS / 2, SUSPECT_MS - 1]) {
      const half = (SILENT_STEPS / 2) * before
      const route = scriptedRoute(2)
      const session = await openScripted(route)
      void step(session)
      await vi.advanceTimersByTimeAsync(before)
      route.stage(1).handlers.onReply(result(1, [[1]]))
      route.ping.run = async peer => (peer === 'peer 1' ? new Promise(() => undefined) : undefined)
      const answer = step(session, 1, 1)
      const expected = expect(answer).rejects.toMatchObject({ code: 'STAGE_LOST', details: { peer: 'peer 1' } })
      await vi.advanceTimersByTimeAsync(Math.max(SUSPECT_MS, half) + Math.max(ALIVE_MS, half))
      await expected
      expect(vi.getTimerCount()).toBe(0)
    }
  })

  it('is lost in time when another one is slow to say that it lives', async () => {
    const route = scriptedRoute(2)
    const session = await openScripted(route)
    const answer = step(session)
    const slow = (): Promise<unknown> => new Promise(resolve => setTimeout(resolve, ALIVE_MS - 100))
    route.ping.run = async peer => (peer === 'peer 1' ? slow() : undefined)
    await vi.advanceTimersByTimeAsync(SUSPECT_MS)
    route.ping.run = async peer => (peer === 'peer 1' ? slow() : new Promise(() => undefined))
    const expected = expect(answer).rejects.toMatchObject({ code: 'STAGE_LOST', details: { peer: 'peer 0' } })
    await vi.advanceTimersByTimeAsync(SUSPECT_MS + ALIVE_MS)
    await expected
  })

  it('is waited for while it answers that it lives, up to the limit of a step', async () => {
    const route = scriptedRoute(1)
    const session = await openScripted(route)
    const answer = step(session)
    await vi.advanceTimersByTimeAsync(STEP_MS / 2)
    expect(route.pings.length).toBeGreaterThan(10)
    const expected = expect(answer).rejects.toMatchObject({ code: 'STAGE_LOST', details: {} })
    await vi.advanceTimersByTimeAsync(STEP_MS / 2 + 2 * SUSPECT_MS)
    await expected
    await expect(answer).rejects.not.toHaveProperty('details.peer')
  })

  it('is not asked while answers come in time, nor once the session is over', async () => {
    const route = scriptedRoute(1)
    const session = await openScripted(route)
    for (let n = 1; n <= 20; n++) {
      void step(session, 1, n - 1)
      await vi.advanceTimersByTimeAsync(SUSPECT_MS - 10)
      route.stage(0).handlers.onReply(result(n, [[1]]))
    }
    expect(route.pings).toEqual([])
    session.close()
    await vi.advanceTimersByTimeAsync(10 * SUSPECT_MS)
    expect([route.pings.length, vi.getTimerCount()]).toEqual([0, 0])
  })

  it('leaves no timer behind when sending a step is what ends the session', async () => {
    const route = scriptedRoute(1, request =>
      request.type === 'step' ? { type: 'fault', fault: { code: 'CONTEXT_FULL', message: '' } } : starOnly(request)
    )
    const session = await openScripted(route)
    await expect(step(session)).rejects.toMatchObject({ details: { status: 'CONTEXT_FULL' } })
    expect(vi.getTimerCount()).toBe(0)
  })
})

function forward(sequence: number, position: number, rows = 1): StageReply {
  return { type: 'forward', step: hiddenStep(sequence, position, new Array<number>(rows * WIDTH).fill(1)) }
}
