import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import {
  MAX_SESSIONS,
  MAX_SESSIONS_PER_PEER,
  SESSION_SILENCE_MS,
  STEP_MS,
  SWEEP_MS
} from '../../../node/pipeline/constants.js'
import { connect, hostBench, link, open, settled, tokenStep } from './sessions.js'

const MANY = { context: 1_000_000, sequences: 2_000, batch: 64 }

describe('StageHost', () => {
  it('opens a session where room is left and says how many rows a step may have', async () => {
    const { host } = await hostBench()
    const { port, replies } = connect(host)
    port.receive({ type: 'open', open: open() })
    expect(replies).toEqual([{ type: 'opened', rowsPerStep: 64 }])
    expect(host.sessions).toBe(1)
  })

  it('refuses a model, a start and a depth that it does not serve, and takes nothing more on that port', async () => {
    const { host, shards } = await hostBench({ start: 2, end: 4 })
    const strange = [open({ manifest: 'cd'.repeat(32), start: 2, leave: 4 }), open({ start: 3, leave: 4 }), open()]
    for (const opening of [...strange, open({ start: 2, leave: 5 })]) {
      const { port, faults } = connect(host)
      port.receive({ type: 'open', open: opening })
      port.receive({ type: 'open', open: open({ start: 2, leave: 4 }) })
      expect(faults).toEqual(['UNKNOWN_MODEL'])
    }
    expect(host.sessions).toBe(0)
    expect(shards.list()[0]?.freeSessions).toBe(4)
    expect(host.refused).toEqual({ UNKNOWN_MODEL: 4 })
  })

  it('refuses a second open on one port, and the session is over', async () => {
    const { host, engine } = await hostBench()
    const { port, faults } = connect(host)
    port.receive({ type: 'open', open: open() })
    port.receive({ type: 'open', open: open() })
    await settled()
    expect(faults).toEqual(['MALFORMED'])
    expect([host.sessions, engine.released.length]).toEqual([0, 1])
  })

  it('refuses a session id that is open already, whoever comes with it', async () => {
    const { host } = await hostBench()
    const mine = connect(host, 'me')
    const thief = connect(host, 'thief')
    const opening = open()
    mine.port.receive({ type: 'open', open: opening })
    thief.port.receive({ type: 'open', open: opening })
    expect(thief.faults).toEqual(['MALFORMED'])
    mine.port.receive({ type: 'step', step: tokenStep(1, 0, [1]) })
    await settled()
    expect(mine.replies.at(-1)).toMatchObject({ type: 'result' })
  })

  it.each([
    { type: 'step' as const, step: tokenStep(1, 0, [1]) },
    { type: 'link' as const, link: link('origin') },
    { type: 'close' as const }
  ])('refuses $type before open', async request => {
    const { host } = await hostBench()
    const { port, faults } = connect(host)
    port.receive(request)
    expect(faults).toEqual(['UNKNOWN_SESSION'])
  })

  it('is BUSY when every sequence is taken, and when too little context is left', async () => {
    const { host } = await hostBench(undefined, { context: 100, sequences: 2, batch: 64 })
    const [first, second, third] = [connect(host), connect(host), connect(host)]
    first.port.receive({ type: 'open', open: open({ context: 60 }) })
    second.port.receive({ type: 'open', open: open({ context: 41 }) })
    expect(second.faults).toEqual(['BUSY'])
    const fitting = connect(host)
    fitting.port.receive({ type: 'open', open: open({ context: 40 }) })
    expect(fitting.faults).toEqual([])
    third.port.receive({ type: 'open', open: open({ context: 1 }) })
    expect(third.faults).toEqual(['BUSY'])
    first.port.close()
    await settled()
    const again = connect(host)
    again.port.receive({ type: 'open', open: open({ context: 60 }) })
    expect(again.faults).toEqual([])
  })

  it('runs nothing of another session in a sequence before it is empty', async () => {
    const { host, engine } = await hostBench(undefined, { context: 100, sequences: 1, batch: 64 })
    const gate = Promise.withResolvers<undefined>()
    engine.beforeRelease = () => gate.promise
    const first = connect(host)
    first.port.receive({ type: 'open', open: open() })
    first.port.close()
    const next = connect(host)
    next.port.receive({ type: 'open', open: open() })
    next.port.receive({ type: 'step', step: tokenStep(1, 0, [1]) })
    await settled()
    expect(engine.steps).toEqual([])
    gate.resolve(undefined)
    await settled()
    expect(engine.released).toHaveLength(1)
    expect(next.replies.at(-1)).toMatchObject({ type: 'result' })
  })

  it('bounds the sessions of one peer, without harm to others', async () => {
    const { host } = await hostBench(undefined, MANY)
    const greedy = Array.from({ length: MAX_SESSIONS_PER_PEER + 1 }, () => connect(host, 'greedy'))
    for (const { port } of greedy) port.receive({ type: 'open', open: open({ context: 1 }) })
    expect(greedy.flatMap(({ faults }) => faults)).toEqual(['BUSY'])
    const other = connect(host, 'other')
    other.port.receive({ type: 'open', open: open({ context: 1 }) })
    expect(other.faults).toEqual([])
  })

  it("does not bound the owner's sessions by what one peer may have", async () => {
    const { host } = await hostBench(undefined, MANY)
    const own = Array.from({ length: MAX_SESSIONS_PER_PEER + 1 }, () => connect(host, 'self'))
    for (const { port } of own) port.receive({ type: 'open', open: open({ context: 1 }) })
    expect(own.flatMap(({ faults }) => faults)).toEqual([])
  })

  it('bounds the sessions of all peers together', async () => {
    const { host } = await hostBench(undefined, MANY)
    for (let n = 0; n < MAX_SESSIONS; n++) {
      connect(host, `peer ${n % 32}`).port.receive({ type: 'open', open: open({ context: 1 }) })
    }
    expect(host.sessions).toBe(MAX_SESSIONS)
    const last = connect(host, 'another')
    last.port.receive({ type: 'open', open: open({ context: 1 }) })
    expect(last.faults).toEqual(['BUSY'])
  })

  it('sends ENGINE_FAILED when the engine dies, and has all its room again when the next one is ready', async () => {
    const { host, engine, shards } = await hostBench()
    engine.addEventListener('lost', () => {
      host.engineLost()
      shards.engineLost()
    })
    const [busy, resting] = [connect(host), connect(host)]
    for (const { port } of [busy, resting]) port.receive({ type: 'open', open: open() })
    busy.port.receive({ type: 'step', step: tokenStep(1, 0, [1]) })
    engine.crash()
    await settled()
    expect([busy.faults, resting.faults]).toEqual([['ENGINE_FAILED'], ['ENGINE_FAILED']])
    const early = connect(host)
    early.port.receive({ type: 'open', open: open() })
    expect(early.faults).toEqual(['UNKNOWN_MODEL'])
    engine.revive()
    await shards.engineReady()
    expect(shards.list()[0]).toMatchObject({ freeSessions: 4, freeContext: 256 })
    const late = connect(host)
    late.port.receive({ type: 'open', open: open() })
    expect(late.faults).toEqual([])
  })

  it('counts what it refused, by status', async () => {
    const { host } = await hostBench()
    connect(host).port.receive({ type: 'close' })
    connect(host).port.receive({ type: 'close' })
    host.count('TOO_LARGE')
    expect(host.refused).toEqual({ UNKNOWN_SESSION: 2, TOO_LARGE: 1 })
  })

  it('ends a session that is closed without counting a fault', async () => {
    const { host, engine } = await hostBench()
    const { port, replies } = connect(host)
    port.receive({ type: 'open', open: open() })
    port.receive({ type: 'close' })
    port.receive({ type: 'step', step: tokenStep(1, 0, [1]) })
    port.close()
    await settled()
    expect(replies).toHaveLength(1)
    expect(host.refused).toEqual({})
    expect([host.sessions, engine.released.length, engine.steps.length]).toEqual([0, 1, 0])
  })
})

describe('StageHost that is drained', () => {
  const LONG = { deadlineMs: 60_000 }

  it('takes nobody, says why, and is done when the last session has ended', async () => {
    const { host } = await hostBench()
    const live = connect(host)
    live.port.receive({ type: 'open', open: open() })
    const drained = host.drain({ ...LONG, why: 'this node is paused' })
    const late = connect(host)
    late.port.receive({ type: 'open', open: open() })
    expect(late.replies).toEqual([{ type: 'fault', fault: { code: 'LEAVING', message: 'this node is paused' } }])
    live.port.receive({ type: 'step', step: tokenStep(1, 0, [1]) })
    await settled()
    expect(live.replies.at(-1)).toMatchObject({ type: 'result' })
    live.port.receive({ type: 'close' })
    expect(await drained).toEqual({ left: 0 })
  })

  it('is done at once without sessions', async () => {
    expect(await (await hostBench()).host.drain(LONG)).toEqual({ left: 0 })
  })

  it('says how many are left at the deadline, and when it is told to stop waiting; they go on until they are ended', async () => {
    const { host } = await hostBench()
    const { port, faults } = connect(host)
    port.receive({ type: 'open', open: open() })
    expect(await host.drain({ deadlineMs: 1 })).toEqual({ left: 1 })
    const controller = new AbortController()
    const drained = host.drain({ ...LONG, signal: controller.signal })
    controller.abort(new Error('resumed'))
    expect(await drained).toEqual({ left: 1 })
    expect(faults).toEqual([])
    host.evict('this node is paused')
    await settled()
    expect(faults).toEqual(['LEAVING'])
  })

  it('takes sessions again once it is open again', async () => {
    const { host } = await hostBench()
    await host.drain(LONG)
    host.reopen()
    const { port, faults } = connect(host)
    port.receive({ type: 'open', open: open() })
    expect([faults, host.sessions]).toEqual([[], 1])
  })
})

describe('StageHost over time', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
  })
  afterEach(() => {
    vi.useRealTimers()
  })

  it('ends sessions that are silent for too long, and only those', async () => {
    const { host, clock } = await hostBench()
    host.start()
    const [silent, active] = [connect(host), connect(host)]
    for (const { port } of [silent, active]) port.receive({ type: 'open', open: open() })
    clock.now += SESSION_SILENCE_MS - 1
    active.port.receive({ type: 'step', step: tokenStep(1, 0, [1]) })
    clock.now += 2
    vi.advanceTimersByTime(SWEEP_MS)
    await settled()
    expect([silent.faults, active.faults]).toEqual([['TIMEOUT'], []])
    expect(host.sessions).toBe(1)
    host.stop()
  })

  it('waits longer than any step may take on the stages before', () => {
    expect(SESSION_SILENCE_MS).toBeGreaterThan(STEP_MS + SWEEP_MS)
  })

  it('tells every origin LEAVING when it stops, takes nobody afterwards, and leaves no timer', async () => {
    const { host, shards } = await hostBench()
    host.start()
    host.start()
    const { port, faults } = connect(host)
    port.receive({ type: 'open', open: open() })
    host.stop()
    host.stop()
    await settled()
    expect(faults).toEqual(['LEAVING'])
    expect(shards.list()[0]?.freeSessions).toBe(4)
    expect(vi.getTimerCount()).toBe(0)
    const late = connect(host)
    late.port.receive({ type: 'open', open: open() })
    expect(late.faults).toEqual(['LEAVING'])
  })
})
