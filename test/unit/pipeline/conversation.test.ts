import { describe, expect, it, vi } from 'vitest'
import type { GenerateEvent, GenerateRequest } from '../../../node/control/contract.js'
import { EngineError } from '../../../node/engine/errors.js'
import type { Origin } from '../../../node/pipeline/origin.js'
import { greedyAnswer, VOCABULARY } from './layer-engine.js'
import { HALVES, idle, request, swarm } from './origin-swarm.js'
import { LAYERS } from './toy-mesh.js'

/** Long enough for it to pay. */
const PROMPT = 'some more words than a few to go on with'

describe('a conversation', () => {
  const ask = async (origin: Origin, prompt: string, changes: Partial<GenerateRequest> = {}, caller = 'me') => {
    const events: GenerateEvent[] = []
    const { signal } = new AbortController()
    for await (const event of origin.generate(request({ prompt, ...changes }), { signal, caller })) events.push(event)
    const routes = events.filter(event => event.event === 'route')
    const text = events.map(event => (event.event === 'text' ? event.text : '')).join('')
    const done = events.at(-1)
    if (done?.event !== 'done') throw new Error('no end')
    return { cached: routes.map(({ cachedTokens }) => cachedTokens), text, stats: done.stats }
  }
  const whole = async (prompt: string): Promise<string> => {
    const tokens = Array.from(Buffer.from(prompt), byte => byte % VOCABULARY)
    return Buffer.from((await greedyAnswer(tokens, LAYERS, 8)).map(token => 48 + token)).toString()
  }

  it('goes on from what the stages have of the prompt, with the same answer', async () => {
    const { origin, mesh } = await swarm(HALVES)
    expect(await ask(origin, PROMPT)).toMatchObject({ cached: [0], text: await whole(PROMPT) })
    const next = `${PROMPT} and more`
    expect(await ask(origin, next)).toMatchObject({
      cached: [PROMPT.length],
      text: await whole(next),
      stats: { promptTokens: next.length, cachedTokens: PROMPT.length }
    })
    const edited = `${PROMPT} or less of it`
    expect(await ask(origin, edited)).toMatchObject({ cached: [PROMPT.length + 1], text: await whole(edited) })
    expect(await ask(origin, PROMPT)).toMatchObject({ cached: [PROMPT.length - 1], text: await whole(PROMPT) })
    await idle(mesh)
  })

  it("begins anew for another caller, another wire type, a seed and an exact replay, and leaves the session its owner's", async () => {
    const { origin } = await swarm(HALVES)
    await ask(origin, PROMPT)
    expect((await ask(origin, PROMPT, {}, 'you')).cached).toEqual([0])
    expect((await ask(origin, PROMPT, { dtype: 'f32' })).cached).toEqual([0])
    expect((await ask(origin, PROMPT, { replay: 'exact' })).cached).toEqual([0])
    expect((await ask(origin, PROMPT, { sampling: { seed: 1 } })).cached).toEqual([0])
    expect((await ask(origin, PROMPT)).cached).toEqual([PROMPT.length - 1])
  })

  it('begins anew where the stages have lost it, and nobody sees more of that than a second route', async () => {
    const { origin, mesh } = await swarm({ ...HALVES, bb: [3, 6] })
    await ask(origin, PROMPT)
    mesh.kill('b')
    expect(await ask(origin, `${PROMPT}!`)).toMatchObject({ cached: [0], text: await whole(`${PROMPT}!`) })
    // A model that cannot go back says so when the first step comes.
    const shorter = PROMPT.slice(0, -3)
    mesh.node('a').engine.beforeStep = ({ position }) => {
      if (position === shorter.length - 1) throw new EngineError('CANNOT_TRUNCATE', 'start again')
    }
    expect(await ask(origin, shorter)).toMatchObject({ cached: [shorter.length - 1, 0], text: await whole(shorter) })
  })

  it('makes room for others, and for its own next answer', async () => {
    const { origin, mesh } = await swarm({ a: [0, 6] })
    for (let n = 0; n < 10; n++) await ask(origin, `${n} ${PROMPT}`)
    expect(mesh.node('a').shards.list()[0]).toMatchObject({ sessions: 0, freeSessions: 4, freeContext: 512 })
    const take = mesh.node('a').shards.list()[0]
    for (let n = 0; n < 4; n++) take?.reserve(100)
    expect(take?.freeSessions).toBe(0)
  })

  it('keeps nothing of an answer that was left', async () => {
    const { origin, mesh } = await swarm(HALVES)
    for await (const event of origin.generate(request(), { signal: new AbortController().signal })) {
      if (event.event === 'text') break
    }
    await vi.waitFor(() => expect(mesh.idle).toBe(true), { timeout: 5_000, interval: 5 })
  })
})
