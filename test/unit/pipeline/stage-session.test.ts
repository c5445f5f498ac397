import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { MAX_STEPS_IN_FLIGHT } from '../../../node/pipeline/constants.js'
import { greedyAnswer, WIDTH } from './layer-engine.js'
import { connect, hiddenStep, hostBench, link, open, refusalOf, settled, tokenStep, WANT_NOTHING } from './sessions.js'
import { LAYERS } from './toy-mesh.js'

const NEXT = { peer: 'next', addresses: [], secret: new Uint8Array(32), session: 'ef'.repeat(16) }

/** A stage with layers 0 to 3 of 6, opened by an origin. */
async function firstStage() {
  const bench = await hostBench({ start: 0, end: 3 })
  const origin = connect(bench.host)
  origin.port.receive({ type: 'open', open: open({ leave: 3 }) })
  return { ...bench, ...origin }
}

/** The whole model in one stage, opened by an origin. */
async function wholeStage(context = 32) {
  const bench = await hostBench()
  const origin = connect(bench.host)
  origin.port.receive({ type: 'open', open: open({ context }) })
  return { ...bench, ...origin }
}

describe('a stage with the head', () => {
  it('answers every step in order with what the whole model says', async () => {
    const { port, replies, host } = await wholeStage()
    const prompt = [4, 8, 15]
    const expected = await greedyAnswer(prompt, LAYERS, 3)
    port.receive({ type: 'step', step: tokenStep(1, 0, prompt) })
    port.receive({ type: 'step', step: tokenStep(2, 3, expected.slice(0, 1)) })
    port.receive({ type: 'step', step: tokenStep(3, 4, expected.slice(1, 2)) })
    await settled()
    expect(replies.shift()).toEqual({ type: 'opened', rowsPerStep: 64 })
    const results = replies.map(reply => (reply.type === 'result' ? reply.result : undefined))
    expect(results.map(result => result?.sequence)).toEqual([1, 2, 3])
    expect(results.map(result => result?.rows[0]?.ids[0])).toEqual(expected)
    expect(results[0]?.timings).toEqual([{ queued: 0, computed: 1, handled: 0 }])
    expect(host.sessions).toBe(1)
  })

  it('drops what it holds from the position of a step on', async () => {
    const { port, replies } = await wholeStage()
    port.receive({ type: 'step', step: tokenStep(1, 0, [1, 2, 3]) })
    port.receive({ type: 'step', step: tokenStep(2, 1, [9, 9]) })
    port.receive({ type: 'step', step: tokenStep(3, 1, [2, 3]) })
    await settled()
    const tokens = replies.flatMap(reply => (reply.type === 'result' ? [reply.result.rows[0]?.ids[0]] : []))
    expect(tokens[2]).toBe(tokens[0])
  })

  it('only acknowledges a step that wants nothing', async () => {
    const { port, replies } = await wholeStage()
    port.receive({ type: 'step', step: tokenStep(1, 0, [1, 2], WANT_NOTHING) })
    await settled()
    expect(replies.at(-1)).toMatchObject({ type: 'result', result: { sequence: 1, rows: [] } })
  })

  it('has no next stage', async () => {
    const { port, faults } = await wholeStage()
    port.receive({ type: 'link', link: link('origin') })
    expect(faults).toEqual(['MALFORMED'])
  })
})

describe('a step that cannot be right', () => {
  const cases: [string, string, ReturnType<typeof tokenStep>[]][] = [
    ['that skips a sequence number', 'OUT_OF_ORDER', [tokenStep(2, 0, [1])]],
    ['that leaves a gap', 'OUT_OF_ORDER', [tokenStep(1, 0, [1]), tokenStep(2, 2, [1])]],
    ['that goes beyond the reserved context', 'CONTEXT_FULL', [tokenStep(1, 0, new Array<number>(33).fill(1))]],
    ['with hidden states at layer 0', 'MALFORMED', [hiddenStep(1, 0, new Array<number>(WIDTH).fill(1))]],
    ['with more rows than a batch', 'MALFORMED', [tokenStep(1, 0, new Array<number>(65).fill(1))]],
    ['with a token outside the vocabulary', 'MALFORMED', [tokenStep(1, 0, [61])]]
  ]
  it.each(cases)('%s ends the session with %s and frees its sequence once', async (what, status, steps) => {
    const { port, faults, host, engine, shards } = await wholeStage(what.includes('batch') ? 200 : 32)
    for (const step of steps) port.receive({ type: 'step', step })
    port.receive({ type: 'step', step: tokenStep(steps.length + 1, 0, [1]) })
    await settled()
    expect(faults).toEqual([status])
    expect(host.refused).toEqual({ [status]: 1 })
    expect(host.sessions).toBe(0)
    expect(engine.released).toHaveLength(1)
    expect(shards.list()[0]).toMatchObject({ freeSessions: 4, freeContext: 256 })
  })

  it('is refused with BUSY when too many wait already', async () => {
    const { port, faults, engine, shards } = await wholeStage()
    const gate = Promise.withResolvers<undefined>()
    engine.beforeStep = () => gate.promise
    for (let n = 1; n <= MAX_STEPS_IN_FLIGHT; n++) port.receive({ type: 'step', step: tokenStep(n, n - 1, [1]) })
    expect(faults).toEqual([])
    port.receive({ type: 'step', step: tokenStep(9, 8, [1]) })
    expect(faults).toEqual(['BUSY'])
    expect(engine.released).toEqual([])
    expect(shards.list()[0]?.freeSessions).toBe(3)
    gate.resolve(undefined)
    await settled()
    expect(engine.released).toHaveLength(1)
    expect(shards.list()[0]?.freeSessions).toBe(4)
  })

  it.each([NaN, Infinity, -Infinity])('is refused with NOT_FINITE when a hidden state is %s', async value => {
    const { host } = await hostBench({ start: 3, end: 6 })
    const { port, faults } = connect(host)
    port.receive({ type: 'open', open: open({ start: 3 }) })
    port.receive({ type: 'step', step: hiddenStep(1, 0, [1, 2, value, 4]) })
    await settled()
    expect(faults).toEqual(['NOT_FINITE'])
  })

  it('of another width is MALFORMED, and so are tokens for a stage in the middle', async () => {
    const { host } = await hostBench({ start: 3, end: 6 })
    for (const step of [hiddenStep(1, 0, [1, 2, 3, 4]), tokenStep(1, 0, [1])]) {
      const { port, faults } = connect(host)
      port.receive({ type: 'open', open: open({ start: 3 }) })
      port.receive({ type: 'step', step: { ...step, rows: 2 } })
      await settled()
      expect(faults).toEqual(['MALFORMED'])
    }
  })
})

describe('a stage before the head', () => {
  it('sends hidden states on, with its timing, in the element type that was asked for', async () => {
    const bench = await hostBench({ start: 0, end: 3 })
    const { port } = connect(bench.host)
    port.receive({ type: 'open', open: open({ leave: 2, dtype: 'f16' }) })
    port.receive({ type: 'link', link: link(NEXT) })
    await settled()
    port.receive({ type: 'step', step: tokenStep(1, 0, [5, 6]) })
    await settled()
    const [relay] = bench.relays
    expect(relay?.target).toMatchObject({ peer: 'next' })
    expect(relay?.sent).toMatchObject([
      { sequence: 1, position: 0, rows: 2, want: { rows: 1 }, input: { kind: 'hidden', dtype: 'f16' }, timings: [{}] }
    ])
    expect(bench.engine.steps[0]).toMatchObject({ leave: 2, want: { rows: 0 } })
  })

  it('keeps what comes out before it is linked, and sends it then', async () => {
    const { port, faults, relays } = await firstStage()
    port.receive({ type: 'step', step: tokenStep(1, 0, [1, 2]) })
    await settled()
    port.receive({ type: 'link', link: link(NEXT) })
    await settled()
    expect(relays[0]?.sent).toMatchObject([{ sequence: 1, position: 0, rows: 2 }])
    expect(faults).toEqual([])
  })

  it('stays usable when the next stage cannot be reached, through the origin', async () => {
    const { port, replies, faults, beforeRelay } = await firstStage()
    beforeRelay.run = () => {
      throw new Error('no way there')
    }
    port.receive({ type: 'link', link: link(NEXT) })
    await settled()
    expect(replies.at(-1)).toEqual({ type: 'fault', fault: { code: 'UNREACHABLE', message: 'no way there' } })
    port.receive({ type: 'link', link: link('origin') })
    port.receive({ type: 'step', step: tokenStep(1, 0, [1]) })
    await settled()
    expect(replies.slice(-2)).toMatchObject([{ type: 'linked' }, { type: 'forward', step: { sequence: 1 } }])
    expect(faults).toEqual(['UNREACHABLE'])
  })

  it('closes the old relay when it is linked again, and does not mistake that for a loss', async () => {
    const { port, faults, relays } = await firstStage()
    port.receive({ type: 'link', link: link(NEXT) })
    await settled()
    port.receive({ type: 'link', link: link({ ...NEXT, peer: 'other' }) })
    await settled()
    expect(relays.map(({ target, closed }) => [target.peer, closed])).toEqual([
      ['next', true],
      ['other', false]
    ])
    port.receive({ type: 'step', step: tokenStep(1, 0, [1]) })
    await settled()
    expect(relays[1]?.sent).toHaveLength(1)
    expect(faults).toEqual([])
  })

  it('is linked once at a time, so that nobody can make it dial many peers at once', async () => {
    const { port, faults, relays, beforeRelay } = await firstStage()
    const gate = Promise.withResolvers<undefined>()
    beforeRelay.run = () => gate.promise
    port.receive({ type: 'link', link: link(NEXT) })
    port.receive({ type: 'link', link: link(NEXT) })
    await settled()
    expect(faults).toEqual(['OUT_OF_ORDER'])
    gate.resolve(undefined)
    await settled()
    expect(relays.map(({ closed }) => closed)).toEqual([true])
  })

  it('dials nobody for a session that has ended', async () => {
    const { port, relays } = await firstStage()
    port.receive({ type: 'step', step: tokenStep(7, 0, [1]) })
    for (let i = 0; i < 10; i++) port.receive({ type: 'link', link: link(NEXT) })
    await settled()
    expect(relays).toEqual([])
  })

  it('keeps what comes out while it is linked anew', async () => {
    const { port, faults, relays, beforeRelay } = await firstStage()
    port.receive({ type: 'link', link: link(NEXT) })
    await settled()
    const gate = Promise.withResolvers<undefined>()
    beforeRelay.run = () => gate.promise
    port.receive({ type: 'link', link: link({ ...NEXT, session: '02'.repeat(16) }) })
    port.receive({ type: 'step', step: tokenStep(1, 0, [1]) })
    await settled()
    gate.resolve(undefined)
    await settled()
    expect(relays.map(({ sent }) => sent.length)).toEqual([0, 1])
    expect(faults).toEqual([])
  })

  it('tells of a lost next stage, also when sending is what shows it, and goes on once it is linked anew', async () => {
    const stage = await firstStage()
    const { port, relays } = stage
    const unlinked = (): number => stage.replies.filter(({ type }) => type === 'unlinked').length
    port.receive({ type: 'link', link: link(NEXT) })
    await settled()
    relays[0]?.lose(new Error('reset'))
    expect(unlinked()).toBe(1)
    port.receive({ type: 'link', link: link(NEXT) })
    await settled()
    if (relays[1] !== undefined) relays[1].sent.push = () => raise(new Error('the stream is closed'))
    port.receive({ type: 'step', step: tokenStep(1, 0, [1]) })
    await settled()
    expect(unlinked()).toBe(2)
    port.receive({ type: 'link', link: link(NEXT) })
    await settled()
    expect(relays[2]?.sent).toMatchObject([{ sequence: 1 }])
    expect([stage.faults, stage.host.sessions]).toEqual([[], 1])
  })

  it('frees its sequence only when the step under way is done, and closes its relay at once', async () => {
    const { port, engine, shards, relays } = await firstStage()
    port.receive({ type: 'link', link: link(NEXT) })
    await settled()
    const gate = Promise.withResolvers<undefined>()
    engine.beforeStep = () => gate.promise
    port.receive({ type: 'step', step: tokenStep(1, 0, [1]) })
    port.receive({ type: 'close' })
    port.close()
    expect(relays[0]?.closed).toBe(true)
    expect([engine.released.length, shards.list()[0]?.freeSessions]).toEqual([0, 3])
    gate.resolve(undefined)
    await settled()
    expect([engine.released.length, shards.list()[0]?.freeSessions]).toEqual([1, 4])
    expect(relays[0]?.sent).toEqual([])
  })
})

describe('the secret of a session', () => {
  it('admits only those who know it', async () => {
    const { host } = await hostBench()
    const { port } = connect(host)
    const opening = open()
    port.receive({ type: 'open', open: opening })
    const { session, secret } = opening
    expect(host.admit(session, secret, 'stage').id).toBe(session)
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), guess => {
        fc.pre(Buffer.compare(guess, secret) !== 0)
        expect(refusalOf(() => host.admit(session, guess, 'stage'))).toBe('UNAUTHORIZED')
      })
    )
    expect(refusalOf(() => host.admit('ff'.repeat(16), secret, 'stage'))).toBe('UNKNOWN_SESSION')
    port.close()
    expect(refusalOf(() => host.admit(session, secret, 'stage'))).toBe('UNKNOWN_SESSION')
  })
})

function raise(error: Error): never {
  throw error
}
