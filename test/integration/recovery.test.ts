import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { GenerateEvent, GenerateRequest } from '../../node/control/contract.js'
import { babble, type BabbleMesh, LONG, startBabble } from '../support/babble.js'
import type { Mesh } from '../support/mesh.js'
import { engineOf } from '../support/processes.js'

/** Of an answer that are looked at; it may go on for as long as it takes. */
const TOKENS = 400
/** What happens, happens once so many tokens have come. */
const EARLY = 50
/** Layers of the nodes: every part has two holders, the second of which is a spare. */
const LAYERS = ['0-3', '3-6', '6-8', '0-3', '3-6', '6-8']

const request = (changes: Partial<GenerateRequest['sampling']> = {}): GenerateRequest => {
  const asked = babble(LONG)
  return { ...asked, replay: 'exact', sampling: { ...asked.sampling, ...changes } }
}

let nodes: BabbleMesh
let mesh: Mesh

beforeAll(async () => {
  nodes = await startBabble(LAYERS)
  mesh = nodes.mesh
})

afterAll(async () => {
  await nodes[Symbol.asyncDispose]()
})

type Reroute = Extract<GenerateEvent, { event: 'reroute' }>

interface Course {
  tokens: number[]
  reroutes: Reroute[]
  /** Peers of the route at first. */
  route: string[]
}

/** Asks node 0; `disturb` is told by which peers the answer goes, once it is under way. */
async function ask(asked: GenerateRequest, disturb?: (route: string[]) => unknown): Promise<Course> {
  const course: Course = { tokens: [], reroutes: [], route: [] }
  let disturbed = false
  for await (const event of mesh.node(0).service.generate(asked)) {
    if (event.event === 'error') throw new Error(event.error.message)
    if (event.event === 'route') course.route = event.stages.map(({ peer }) => peer)
    if (event.event === 'reroute') course.reroutes.push(event)
    if (event.event === 'text') course.tokens.push(...event.tokens)
    // However slow the machine is: until the loss has shown.
    if (course.tokens.length >= TOKENS && (disturb === undefined || course.reroutes.length > 0)) break
    if (disturbed || course.tokens.length < EARLY) continue
    disturbed = true
    await disturb?.(course.route)
  }
  course.tokens.length = Math.min(course.tokens.length, TOKENS)
  return course
}

/** Those of them in which this peer left; a busy machine makes stages slow, which are replaced too. */
const leaving = ({ reroutes }: Course, peer: string | undefined): Reroute[] =>
  reroutes.filter(({ lost }) => lost.some(stage => stage.peer === peer))

/** Which node this peer is. */
async function indexOf(peer: string | undefined): Promise<number> {
  for (const [index, { process, service }] of mesh.nodes.entries()) {
    if (!process.hasEnded && (await service.status()).peer === peer) return index
  }
  throw new Error(`no running node is ${peer ?? 'nobody'}`)
}

describe('an answer goes on with the same tokens, each once,', () => {
  it.each([
    ['a node in the middle of the route is killed', 1],
    ['the node with the head is killed', 2]
  ])('when %s', async (_, stage) => {
    const expected = await ask(request())
    const found: number[] = []
    const course = await ask(request(), async route => {
      const index = await indexOf(route[stage])
      found.push(index)
      mesh.node(index).process.kill('SIGKILL')
    })
    expect(course.tokens).toEqual(expected.tokens)
    expect(leaving(course, course.route[stage])).toHaveLength(1)
    await mesh.restart(found[0] ?? 0)
    await mesh.complete('babble')
  })

  it('when an engine is killed, at a temperature', async () => {
    const warm = request({ temperature: 0.9, seed: 5 })
    const expected = await ask(warm)
    const course = await ask(warm, async route => {
      const { process: node } = mesh.node(await indexOf(route[1]))
      process.kill(await engineOf(node), 'SIGKILL')
    })
    expect(course.tokens).toEqual(expected.tokens)
    expect(leaving(course, course.route[1])[0]?.lost[0]?.reason).toMatch(/engine/)
  })

  it('when a node freezes', async () => {
    const expected = await ask(request())
    const frozen: number[] = []
    const course = await ask(request(), async route => {
      const index = await indexOf(route[2])
      frozen.push(index)
      mesh.node(index).process.kill('SIGSTOP')
    })
    mesh.node(frozen[0] ?? 0).process.kill('SIGCONT')
    expect(course.tokens).toEqual(expected.tokens)
    expect(leaving(course, course.route[2])).toHaveLength(1)
  })

  it('when a node drains, and that node then leaves without having failed anybody', async () => {
    const expected = await ask(request())
    const ended: Promise<unknown>[] = []
    const course = await ask(request(), async route => {
      const index = await indexOf(route[1])
      const { process } = mesh.node(index)
      process.kill('SIGTERM')
      ended.push(process.ended.then(async ({ code }) => ({ code, again: await mesh.restart(index) })))
    })
    expect(course.tokens).toEqual(expected.tokens)
    expect(leaving(course, course.route[1])[0]?.lost.map(({ reason }) => reason)).toEqual([undefined])
    expect(await Promise.all(ended)).toMatchObject([{ code: 0 }])
  })
})
