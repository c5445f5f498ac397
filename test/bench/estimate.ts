/** How far estimates are from what answers take, with and without the correction by earlier answers. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { parseArgs, promisify } from 'node:util'
import { withoutErrorEvents } from '../../node/control/errors.js'
import { readAnswers, type RememberedAnswer } from '../../node/estimate/history.js'
import { medianError } from '../../node/estimate/correction.js'
import type { Estimate } from '../../node/estimate/cost.js'
import { locateHome } from '../../node/home.js'
import { readGguf } from '../../node/models/gguf.js'
import { describeModel } from '../../node/models/description.js'
import type { Host } from '../support/internet.js'
import { EMBER, PROJECT_ROOT } from '../support/models.js'
import { waitFor } from '../support/wait-for.js'
import { benchMesh, machine, type BenchMesh } from './bench-mesh.js'
import { median } from './statistics.js'
import { syntheticModel } from './synthetic-model.js'

const CONTEXT = 4_096
/** Emulates wide-area links; beside the project. */
const WAN_TOOL = join(PROJECT_ROOT, '..', 'shared', 'tools', 'wan', 'wan')
/** Words of the prompts, in turn. */
const PROMPTS = [12, 48, 192]
/** Milliseconds: twice as long as answers wait to be written. */
const WRITE_LIMIT = 20_000

/** Options with their defaults. */
export const usage =
  '--models 0.5b,ember, --stages 1,2,3, --rounds N (12), --tokens N (32), --delay MS (none), --each, --json'

interface Cell {
  model: string
  stages: number
  answers: RememberedAnswer[]
}

export async function bench(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      models: { type: 'string', default: '0.5b,ember' },
      stages: { type: 'string', default: '1,2,3' },
      rounds: { type: 'string', default: '12' },
      tokens: { type: 'string', default: '32' },
      delay: { type: 'string' },
      each: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false }
    }
  })
  const cells: Cell[] = []
  for (const model of values.models.split(',')) {
    const file = model === 'ember' ? EMBER : await syntheticModel(model)
    for (const stages of values.stages.split(',').map(Number)) {
      const { layers } = describeModel(await readGguf(file))
      await using links = await emulatedLinks(stages + 1, values.delay)
      const ranges = rangesOf(layers, stages)
      await using mesh = await benchMesh({ file, name: model, ranges, context: CONTEXT, hosts: links.hosts })
      const answers = await ask(mesh, { rounds: Number(values.rounds), tokens: Number(values.tokens) })
      cells.push({ model, stages, answers })
    }
  }
  if (values.json) console.log(JSON.stringify({ machine: machine(), cells }))
  else print(cells, values.each)
}

/** Hosts so many milliseconds apart, one way; none without a delay. Needs root, Linux, gcc and iproute2. */
async function emulatedLinks(count: number, delay: string | undefined): Promise<{ hosts: Host[] } & AsyncDisposable> {
  if (delay === undefined) return { hosts: [], [Symbol.asyncDispose]: () => Promise.resolve() }
  const wan = async (...args: string[]): Promise<void> => {
    await promisify(execFile)(WAN_TOOL, args)
  }
  await wan('up', String(count), '--delay', delay)
  const hosts = Array.from({ length: count }, (_, i) => ({
    ...{ address: `10.77.0.${i + 1}`, within: ['ip', 'netns', 'exec', `wan${i}`] }
  }))
  return { hosts, [Symbol.asyncDispose]: async () => wan('down') }
}

function rangesOf(layers: number, stages: number): string[] {
  const bounds = Array.from({ length: stages + 1 }, (_, i) => Math.round((i * layers) / stages))
  return bounds.slice(1).map((end, i) => `${bounds[i] ?? 0}-${end}`)
}

/** One after another; what the origin remembers of them. */
async function ask(
  { mesh, name, origin }: BenchMesh,
  { rounds, tokens }: { rounds: number; tokens: number }
): Promise<RememberedAnswer[]> {
  for (let round = 0; round < rounds; round++) {
    const prompt = 'the light '.repeat((PROMPTS[round % PROMPTS.length] ?? 2) / 2)
    // With a seed nothing goes on from the answer before.
    const request = { model: name, prompt, raw: true, sampling: { temperature: 0, maxTokens: tokens, seed: round } }
    for await (const event of withoutErrorEvents(origin().generate(request))) if (event.event === 'done') break
  }
  const { estimatesFile } = locateHome({ FLAMBEAU_HOME: mesh.node(0).home.path })
  const isWritten = async (): Promise<boolean> => (await readAnswers(estimatesFile)).length >= rounds
  await waitFor(isWritten, { what: 'the answers to be written', limit: WRITE_LIMIT })
  return readAnswers(estimatesFile)
}

function print(cells: readonly Cell[], each: boolean): void {
  console.log(machine())
  for (const { model, stages, answers } of cells) {
    if (each) for (const answer of answers) console.log(line(answer))
    const tokens = median(answers.map(({ measured }) => 1 / measured.token))
    const first = median(answers.map(({ measured }) => (measured.open + measured.prompt) * 1_000))
    console.log(
      `${model}, ${stages} stages, ${answers.length} answers: ${tokens.toFixed(1)} tokens/s, first token ${first.toFixed(0)} ms; ` +
        `median error ${errors(answers, 'estimated')} uncorrected, ${errors(answers, 'told')} corrected`
    )
  }
}

/** Of tokens a second, then of the first token. */
function errors(answers: readonly RememberedAnswer[], which: 'estimated' | 'told'): string {
  const error = (of: (times: Estimate) => number): string => {
    const pairs = answers.map(answer => ({ estimated: of(answer[which]), measured: of(answer.measured) }))
    return `${(medianError(pairs) * 100).toFixed(1)} %`
  }
  return `${error(({ token }) => 1 / token)} and ${error(({ open, prompt }) => open + prompt)}`
}

function line({ promptTokens, estimated, told, measured }: RememberedAnswer): string {
  const text = ({ token, prompt, open }: Estimate): string =>
    [token, prompt, open].map(seconds => (seconds * 1_000).toFixed(1)).join(' ')
  return `  ${promptTokens} tokens: estimated ${text(estimated)}, told ${text(told)}, took ${text(measured)} ms (token, prompt, open)`
}
