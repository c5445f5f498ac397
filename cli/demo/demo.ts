import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { GenerateRequest } from '../../node/control/contract.js'
import { withoutErrorEvents } from '../../node/control/errors.js'
import type { ControlService } from '../../node/control/service.js'
import { deadline, delay } from '../../node/deadline.js'
import { streamAnswer, ask, type Answer } from '../answer.js'
import { CliError } from '../errors.js'
import type { Output } from '../output.js'
import { count, layerRange, milliseconds } from '../render/format.js'
import { DemoNode } from './demo-node.js'
import { memoryFor, openReference, type Reference } from './reference.js'

export interface DemoOptions {
  /** Instead of the usual questions. */
  prompts?: string[]
  json: boolean
  signal: AbortSignal
  output: Output
}

const MODEL = 'ember'
const MODEL_FILE = fileURLToPath(new URL('../../../models/ember/ember-3m-q8_0.gguf', import.meta.url))

/** Names of the nodes, and the layers that the memory of each has room for. Which layers it takes, a node decides itself. */
const NODES = [
  { name: 'torch', room: { start: 0, end: 3 } },
  { name: 'lantern', room: { start: 3, end: 6 } },
  { name: 'candle', room: { start: 6, end: 8 } }
] as const

const QUESTIONS = [
  'Can you explain how Flambeau works?',
  'What is the capital of France?',
  'Tell me a story about Mia and a torch.'
]

/** KV positions of each node: enough for two of the model's contexts. */
const CONTEXT = 1_024
/** Milliseconds in which a node that has joined has fetched its layers and serves them. */
const SERVE_LIMIT = 40_000
const POLL = 100

interface DemoAnswer {
  prompt: string
  answer: Answer
  /** Token for token as the whole model run alone. */
  same: boolean
}

/** Three nodes on this machine, as processes of their own, answer questions together; leaves nothing behind. */
export async function runDemo(options: DemoOptions): Promise<void> {
  const started = performance.now()
  const folder = await mkdtemp(join(tmpdir(), 'flambeau-demo-'))
  const nodes = NODES.map(({ name }) => new DemoNode(name, join(folder, name)))
  try {
    const services = await startNodes(nodes, options)
    const answers = await askAll(services, options)
    report(answers, performance.now() - started, options)
  } finally {
    await Promise.all(nodes.map(async node => node.stop()))
    await rm(folder, { recursive: true, force: true })
  }
}

/** The first node begins a swarm and shares the model; the others join by invitation, one after another. */
async function startNodes(nodes: readonly DemoNode[], { output, signal }: DemoOptions): Promise<ControlService[]> {
  const say = (node: DemoNode, text: string): void => output.notes([`${node.name.padEnd(8)} ${text}`])
  const memory = await memoryFor(
    MODEL_FILE,
    NODES.map(({ room }) => room),
    CONTEXT
  )
  const services: ControlService[] = []
  let invitation = ''
  for (const [i, node] of nodes.entries()) {
    await node.command(i === 0 ? ['swarm', 'create', 'demo'] : ['join', invitation], { signal })
    const service = await node.up(['--context', String(CONTEXT), '--memory', `${memory[i] ?? 0}B`], { signal })
    services.push(service)
    if (i === 0) {
      say(node, 'begins a swarm and compares the model, cut between any two layers, with the whole one …')
      await share(service, signal)
      invitation = (await service.invite({ signal })).invitation
    } else say(node, 'joins by invitation and fetches its layers from the others …')
    say(node, `serves layers ${await servedLayers(node, service, signal)} of ${MODEL}`)
  }
  return services
}

async function share(service: ControlService, signal: AbortSignal): Promise<void> {
  for await (const event of withoutErrorEvents(service.share({ file: MODEL_FILE, name: MODEL }, { signal }))) {
    if (event.event === 'shared') return
  }
}

async function servedLayers(node: DemoNode, service: ControlService, signal: AbortSignal): Promise<string> {
  using limit = deadline(`fetching and loading layers on ${node.name}`, SERVE_LIMIT, signal)
  for (;;) {
    const { shards } = await service.status({ signal: limit.signal })
    if (shards[0] !== undefined) return layerRange(shards[0])
    await delay(POLL, limit.signal)
  }
}

async function askAll(services: readonly ControlService[], options: DemoOptions): Promise<DemoAnswer[]> {
  const { output, signal, json } = options
  await using reference = await openReference(MODEL_FILE)
  const answers: DemoAnswer[] = []
  for (const [i, prompt] of (options.prompts ?? QUESTIONS).entries()) {
    const asking = NODES[i % NODES.length]?.name ?? ''
    output.notes(['', output.paintNote('bold', prompt) + output.paintNote('dim', `  (asked on ${asking})`)])
    const service = services[i % services.length]
    if (service === undefined) continue
    const request: GenerateRequest = { model: MODEL, prompt, sampling: { temperature: 0, seed: 0 }, dtype: 'f32' }
    const answer = json
      ? await ask(service, request, { signal, onText: () => undefined })
      : await streamAnswer(request, { service, output, signal })
    const same = await sameAsWhole(reference, request, answer)
    output.notes([output.paintNote('dim', routeLine(answer)), verdict(answer, same)])
    answers.push({ prompt, answer, same })
  }
  return answers
}

async function sameAsWhole(reference: Reference, request: GenerateRequest, answer: Answer): Promise<boolean> {
  const expected = await reference.answer(request, answer.route.length)
  return expected.length === answer.tokens.length && expected.every((token, i) => token === answer.tokens[i])
}

/** `torch 0-3 0.4 ms → lantern 3-6 0.4 ms → …`: compute per token. */
function routeLine({ stats }: Answer): string {
  const stages = stats.stages.map(stage => `${stage.name} ${layerRange(stage)} ${milliseconds(stage.computeMs)}`)
  return `${stages.join(' → ')} → back; ${milliseconds(stats.networkMs)} on the way, per token`
}

const verdict = ({ tokens }: Answer, same: boolean): string =>
  same
    ? `The same ${tokens.length} tokens as the whole model run alone.`
    : 'NOT the tokens of the whole model run alone.'

function report(answers: readonly DemoAnswer[], elapsed: number, { output, json }: DemoOptions): void {
  const same = answers.every(answer => answer.same)
  if (json) output.json({ same, seconds: elapsed / 1_000, answers })
  if (!same) throw new CliError('DEMO_FAILED', 'An answer of the mesh differs from that of the whole model.')
  output.notes([
    '',
    `${count(answers.length, 'answer')} by three processes that each hold a part of the model; ${milliseconds(elapsed)} in all.`,
    'Next: `flambeau swarm create NAME` and `flambeau up` on your machine, then `flambeau swarm invite` for your friends.'
  ])
}
