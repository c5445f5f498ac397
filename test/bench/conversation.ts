/** How long the turns of a conversation wait for their first token, from what the stages hold and anew. */
import { parseArgs } from 'node:util'
import { withoutErrorEvents } from '../../node/control/errors.js'
import type { GenerateRequest, GenerateStats } from '../../node/control/contract.js'
import { benchMesh, machine, type BenchMesh } from './bench-mesh.js'
import { spread } from './statistics.js'
import { syntheticModel } from './synthetic-model.js'

const CONTEXT = 8_192
/** What a turn adds, about 100 tokens, and the tokens of an answer. */
const WORDS = 'the light of the torch goes on from hand to hand '.repeat(2)
const TOKENS = 32

/** Options with their defaults. */
export const usage = '--shape 0.5b, --stages 2, --turns N (10), --rounds N (5), --json'

type Way = 'held' | 'anew'

interface Turn {
  turn: number
  stats: GenerateStats
}

export async function bench(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      shape: { type: 'string', default: '0.5b' },
      stages: { type: 'string', default: '2' },
      turns: { type: 'string', default: '10' },
      rounds: { type: 'string', default: '5' },
      json: { type: 'boolean', default: false }
    }
  })
  const file = await syntheticModel(values.shape)
  const ranges = values.stages === '1' ? ['0-24'] : values.stages === '2' ? ['0-12', '12-24'] : ['0-8', '8-16', '16-24']
  await using mesh = await benchMesh({ file, name: values.shape, ranges, context: CONTEXT })
  const turns: Record<Way, Turn[]> = { held: [], anew: [] }
  await conversation(mesh, { way: 'anew', turns: 2, round: 0 }) // until everything is warm
  for (let round = 1; round <= Number(values.rounds); round++) {
    for (const way of ['held', 'anew'] as const) {
      turns[way].push(...(await conversation(mesh, { way, turns: Number(values.turns), round })))
    }
  }
  if (values.json) console.log(JSON.stringify({ machine: machine(), ...turns }))
  else print(turns, Number(values.turns))
}

/** Each turn says all that was said before it. With a seed an answer begins anew. */
async function conversation(
  mesh: BenchMesh,
  { way, turns, round }: { way: Way; turns: number; round: number }
): Promise<Turn[]> {
  let prompt = `${round} ${way} `
  const said: Turn[] = []
  for (let turn = 1; turn <= turns; turn++) {
    prompt += WORDS
    const sampling = { temperature: 0, maxTokens: TOKENS, ...(way === 'anew' && { seed: turn }) }
    const { text, stats } = await ask(mesh, { model: mesh.name, prompt, raw: true, sampling })
    said.push({ turn, stats })
    prompt += text
  }
  return said
}

async function ask(mesh: BenchMesh, request: GenerateRequest): Promise<{ text: string; stats: GenerateStats }> {
  let text = ''
  for await (const event of withoutErrorEvents(mesh.origin().generate(request))) {
    if (event.event === 'text') text += event.text
    if (event.event === 'done') return { text, stats: event.stats }
  }
  throw new Error('an answer without an end')
}

function print(turns: Record<Way, Turn[]>, last: number): void {
  console.log(`first token, ms, median and spread, on ${machine()}`)
  console.log('turn  prompt  there already  held                    anew')
  for (let turn = 1; turn <= last; turn++) {
    const of = (way: Way): GenerateStats[] => turns[way].filter(one => one.turn === turn).map(({ stats }) => stats)
    const [held, anew] = [of('held'), of('anew')]
    const first = (stats: GenerateStats[]): string =>
      spread(
        stats.map(({ firstTokenMs }) => firstTokenMs),
        0
      ).padEnd(24)
    const { promptTokens = 0, cachedTokens = 0 } = held.at(-1) ?? {}
    const numbers = `${String(turn).padEnd(6)}${String(promptTokens).padEnd(8)}${String(cachedTokens).padEnd(15)}`
    console.log(`${numbers}${first(held)}${first(anew)}`)
  }
}
