import { describe, expect, it, vi } from 'vitest'
import { EngineError } from '../../../node/engine/errors.js'
import { MAX_STEPS_IN_FLIGHT } from '../../../node/pipeline/constants.js'
import { BAN_SCORE, WEIGHTS } from '../../../node/trust/constants.js'
import { connect, hiddenStep, hostBench, open, settled, tokenStep, type HostBench } from './sessions.js'

const SHARD = { context: 120, sequences: 3, batch: 64 }
/** As often as it takes to be banned for what a broken program does. */
const OFTEN = BAN_SCORE / WEIGHTS.broken

function faultsOfOpen({ host }: HostBench, peer: string, context: number): string[] {
  const origin = connect(host, peer)
  origin.port.receive({ type: 'open', open: open({ context }) })
  return origin.faults
}

describe('the room of a shard', () => {
  it('is all for one peer while nobody else wants any', async () => {
    const bench = await hostBench(undefined, SHARD)
    for (let n = 0; n < SHARD.sequences; n++) expect(faultsOfOpen(bench, 'greedy', 40)).toEqual([])
    expect(bench.shards.list()[0]).toMatchObject({ freeSessions: 0, freeContext: 0 })
  })

  it('is left for another that was turned away, before the same peer fills it again', async () => {
    const bench = await hostBench(undefined, SHARD)
    const greedy = Array.from({ length: SHARD.sequences }, () => connect(bench.host, 'greedy'))
    for (const { port } of greedy) port.receive({ type: 'open', open: open({ context: 40 }) })
    expect(faultsOfOpen(bench, 'other', 40)).toEqual(['BUSY'])
    greedy[0]?.port.close()
    await settled()
    expect(faultsOfOpen(bench, 'greedy', 10)).toEqual(['BUSY'])
    expect(faultsOfOpen(bench, 'other', 40)).toEqual([])
  })

  it("is the owner's first of all", async () => {
    const bench = await hostBench(undefined, SHARD)
    for (let n = 0; n < SHARD.sequences - 1; n++) faultsOfOpen(bench, 'self', 40)
    expect(faultsOfOpen(bench, 'other', 80)).toEqual(['BUSY'])
    expect(faultsOfOpen(bench, 'self', 40)).toEqual([])
  })
})

describe('who is blamed for a fault of a session', () => {
  function breakSessions({ host }: HostBench, peer: string): void {
    for (let times = 0; times < OFTEN; times++) {
      const { port } = connect(host, peer)
      port.receive({ type: 'open', open: open() })
      port.receive({ type: 'step', step: hiddenStep(1, 0, [1, 2, 3, 4]) })
    }
  }

  it('is the origin of a stage that takes tokens', async () => {
    const bench = await hostBench(undefined, { ...SHARD, sequences: 32, context: 1_024 })
    breakSessions(bench, 'broken')
    expect(bench.trust.refused).toEqual({ MALFORMED: OFTEN, BANNED: 1 })
    expect(bench.trust.bans().map(({ peer }) => peer)).toEqual(['broken'])
  })

  it('is never this node itself', async () => {
    const bench = await hostBench(undefined, { ...SHARD, sequences: 32, context: 1_024 })
    breakSessions(bench, 'self')
    expect([bench.trust.refused, bench.trust.bans()]).toEqual([{ MALFORMED: OFTEN }, []])
  })

  it.each<[string, string[], string[]]>([
    ['the one stage that sent hidden states which are no numbers', ['stage'], ['stage']],
    ['nobody where the origin may have passed them on', ['origin'], []],
    ['nobody where two have sent some', ['stage', 'stage of another'], []]
  ])('is %s', async (_what, senders, banned) => {
    const { host, engine, trust } = await hostBench({ start: 3, end: 6 })
    engine.beforeStep = () => Promise.reject(new EngineError('NOT_FINITE', 'NaN came'))
    for (let times = 0; times < OFTEN; times++) {
      const origin = connect(host, 'origin')
      const opening = open({ start: 3 })
      origin.port.receive({ type: 'open', open: opening })
      for (const [i, from] of senders.entries()) {
        const step = hiddenStep(i + 1, i, [NaN, 0, 0, 0])
        if (from === 'origin') origin.port.receive({ type: 'step', step })
        else host.admit(opening.session, opening.secret, from).receive(step)
      }
      await vi.waitFor(() => expect(origin.faults).toEqual(['NOT_FINITE']))
      await settled()
    }
    expect(trust.bans().map(({ peer }) => peer)).toEqual(banned)
  })

  it('is nobody where too many steps wait', async () => {
    const { host, trust } = await hostBench()
    const { port, faults } = connect(host, 'eager')
    port.receive({ type: 'open', open: open() })
    for (let n = 0; n <= MAX_STEPS_IN_FLIGHT; n++) port.receive({ type: 'step', step: tokenStep(n + 1, n, [1]) })
    expect([faults, trust.bans()]).toEqual([['BUSY'], []])
  })

  it('is whoever guesses a secret, but not a stage, which may have it from an origin', async () => {
    const { host } = await hostBench()
    expect([host.guesser('stranger'), host.guesser('stage')]).toEqual(['stranger', undefined])
  })
})
