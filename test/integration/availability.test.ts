import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { GenerateEvent } from '../../node/control/contract.js'
import { babble, type BabbleMesh, LONG, startBabble } from '../support/babble.js'
import type { Mesh } from '../support/mesh.js'
import { engineOf } from '../support/processes.js'
import { waitFor } from '../support/wait-for.js'

const LIMIT = 30_000

const RUN = ['run', 'babble', '--raw', '--temperature', '0', '--max-tokens', '8', 'the']

let nodes: BabbleMesh
let mesh: Mesh
let expected: number[]

/** The last layers are on two nodes. */
beforeAll(async () => {
  nodes = await startBabble(['0-4', '4-8', '4-8'])
  mesh = nodes.mesh
  await serving(1)
  await serving(2)
  expected = (await mesh.ask(0, babble(8))).tokens
})

afterAll(async () => {
  await nodes[Symbol.asyncDispose]()
})

async function serving(node: number): Promise<void> {
  const { service } = mesh.node(node)
  await waitFor(async () => (await service.status()).shards.length === 1, { what: 'the shard', limit: LIMIT })
}

/** The only node with the first layers: sessions there have nowhere to go. */
const SOLE = 0

/** A long answer of another node, once it has begun; `end` cancels it. */
async function longAnswer(): Promise<{ end: () => void; ended: Promise<unknown> }> {
  const controller = new AbortController()
  const events = mesh.node(1).service.generate(babble(LONG), { signal: controller.signal })
  const begun = Promise.withResolvers<undefined>()
  const onEvent = (event: GenerateEvent): void => {
    if (event.event === 'text') begun.resolve(undefined)
  }
  const read = async (): Promise<unknown> => {
    try {
      for await (const event of events) onEvent(event)
      throw new Error('the answer came to its end')
    } catch (error) {
      begun.reject(error)
      return error
    }
  }
  const ended = read()
  await begun.promise
  return { end: () => controller.abort(new Error('enough')), ended }
}

/** `HH:MM-HH:MM`, an hour that begins in two. */
function laterToday(): string {
  const hours = [2, 3].map(ahead => new Date(Date.now() + ahead * 3_600_000).toTimeString().slice(0, 5))
  return hours.join('-')
}

describe('a node that its owner pauses', () => {
  it('has no engine any more, and others answer; without others the command says which layers nobody serves', async () => {
    const { process, service, home } = mesh.node(1)
    await engineOf(process)
    const paused = await home.run(['pause'])
    expect(paused).toMatchObject({ code: 0, stderr: '' })
    expect(paused.stdout).toMatch(/paused by its owner; its memory is free/)
    await expect(engineOf(process)).rejects.toThrow('0 engines')
    expect(await service.status()).toMatchObject({
      state: 'paused',
      availability: { pauses: [{ reason: 'owner' }] },
      engine: { state: 'stopped' },
      shards: [],
      usedBytes: 0
    })
    const answer = await mesh.ask(0, babble(8))
    expect([answer.tokens, answer.route.map(({ name }) => name)]).toEqual([expected, ['node-0', 'node-2']])

    expect((await mesh.run(2, ['pause', '--for', '2h'])).stdout).toMatch(/by its owner until /)
    const { code, stderr } = await mesh.run(0, RUN)
    expect(code).toBe(5)
    expect(stderr).toMatch(/Nobody serves layers 4-8 of babble/)
    expect((await mesh.run(0, ['models'])).stdout).toMatch(/4-8 are served by nobody/)
    const peers = await mesh.node(0).service.peers()
    expect(peers.map(({ name, state }) => [name, state]).sort()).toEqual([
      ['node-0', 'online'],
      ['node-1', 'paused'],
      ['node-2', 'paused']
    ])
  })

  it('serves the same layers again when it is resumed, and meanwhile answers its owner with those of others', async () => {
    expect((await mesh.run(2, ['resume'])).stdout).toMatch(/serves again/)
    await serving(2)
    await mesh.complete('babble')
    const own = await mesh.ask(1, babble(8))
    expect([own.tokens, own.route.map(({ name }) => name)]).toEqual([expected, ['node-0', 'node-2']])

    expect((await mesh.run(1, ['resume'])).code).toBe(0)
    await serving(1)
    const status = await mesh.node(1).service.status()
    expect(status).toMatchObject({ state: 'online', engine: { state: 'ready' }, shards: [{ start: 4, end: 8 }] })
    await engineOf(mesh.node(1).process)
    const alone = await mesh.ask(1, babble(8))
    expect([alone.tokens, alone.route.map(({ name }) => name)]).toEqual([expected, ['node-0', 'node-1']])
  })

  it('lets sessions that it has go on for a while', async () => {
    const answer = await longAnswer()
    const pausing = mesh.node(SOLE).home.launch(['pause'])
    await waitFor(() => pausing.output().stderr.includes('1 session left'), {
      what: 'the session to be told',
      limit: LIMIT
    })
    expect(await mesh.node(SOLE).service.status()).toMatchObject({ state: 'draining', sessions: { served: 1 } })
    expect((await mesh.run(1, RUN)).stderr).toMatch(/layers 0-4/)
    answer.end()
    expect((await pausing.ended).code).toBe(0)
    expect((await mesh.run(SOLE, ['status'])).stdout).toMatch(/paused {2,}by its owner/)
    await mesh.run(SOLE, ['resume'])
    await serving(SOLE)
  })
})

describe('a node that leaves', () => {
  it('waits for its session at the first SIGTERM', async () => {
    const answer = await longAnswer()
    const { process } = mesh.node(SOLE)
    process.kill('SIGTERM')
    await waitFor(() => process.output().stderr.includes('Waits for 1 session'), { what: 'the node to wait' })
    expect(process.hasEnded).toBe(false)
    answer.end()
    expect((await process.ended).code).toBe(0)
    await mesh.restart(SOLE)
    await serving(SOLE)
  })

  it('ends at once at the second one, whatever goes on', async () => {
    const answer = await longAnswer()
    const { process } = mesh.node(SOLE)
    process.kill('SIGTERM')
    await waitFor(() => process.output().stderr.includes('Waits for 1 session'), { what: 'the node to wait' })
    process.kill('SIGTERM')
    expect((await process.ended).code).toBe(130)
    expect(await answer.ended).toMatchObject({ code: 'STAGE_LOST' })
    await mesh.restart(SOLE)
    await serving(SOLE)
  })

  it('is drained when its last session has ended', async () => {
    const answer = await longAnswer()
    const draining = mesh.node(SOLE).home.launch(['drain'])
    await waitFor(() => draining.output().stderr.includes('1 session left'), {
      what: 'the session to be told',
      limit: LIMIT
    })
    answer.end()
    const { code, stdout } = await draining.ended
    expect([code, stdout]).toEqual([0, `Process ${mesh.node(SOLE).process.pid} has stopped.\n`])
    expect((await mesh.node(SOLE).process.ended).code).toBe(0)
    await mesh.restart(SOLE)
    await serving(SOLE)
  })

  it.each([
    ['drain', '--within', '1s'],
    ['down', '--now']
  ])('ends a session that does not: %s %s', async (...args) => {
    const answer = await longAnswer()
    const { code } = await mesh.run(SOLE, args)
    expect(code).toBe(0)
    expect(await answer.ended).toMatchObject({ code: expect.stringMatching(/STAGE_(LOST|REFUSED)/) as string })
    expect((await mesh.node(SOLE).process.ended).code).toBe(0)
    await mesh.restart(SOLE)
    await serving(SOLE)
  })
})

describe('a node with hours', () => {
  it('does not load its layers outside of them, unless its owner says so', async () => {
    await mesh.run(2, ['down', '--now'])
    const { process, service, home } = await mesh.restart(2, ['--hours', laterToday()])
    await waitFor(async () => (await service.status()).state === 'paused', { what: 'the pause' })
    await expect(engineOf(process)).rejects.toThrow('0 engines')
    const { availability, shards } = await service.status()
    const until = availability.pauses[0]?.until ?? 0
    expect([availability.pauses[0]?.reason, shards]).toEqual(['schedule', []])
    expect(Math.abs(until - Date.now() - 2 * 3_600_000)).toBeLessThan(120_000)
    expect((await home.run(['status'])).stdout).toMatch(/paused {2,}outside of its hours until /)

    await home.run(['pause'])
    expect((await home.run(['resume'])).stdout).toMatch(/Still paused outside of its hours until .*flambeau resume/)
    expect((await home.run(['resume'])).stdout).toMatch(/serves again although/)
    await serving(2)
    expect((await home.run(RUN)).code).toBe(0)
  })

  it('says what is wrong with them', async () => {
    const { code, stderr } = await (await mesh.member()).run(['up', '--hours', '22:00-25:00'])
    expect(code).toBe(2)
    expect(stderr).toContain('schedule.hours must be a list of hours such as 22:00-07:00 or sat-sun 00:00-24:00')
    expect(stderr).toContain('22:00-25:00')
  })
})
