/** What the gateway costs next to the command line's way, how it bears many clients, and what it makes of nonsense. */
import { connect } from 'node:net'
import { parseArgs } from 'node:util'
import type { GenerateRequest } from '../../node/control/contract.js'
import { withoutErrorEvents } from '../../node/control/errors.js'
import { mulberry32 } from '../support/random.js'
import { babbleMesh, babbleRequest, type BenchMesh, machine } from './bench-mesh.js'
import { MemoryWatch } from './memory.js'
import { quantile } from './statistics.js'

const TOKENS = 64
/** Of the answers that the many clients ask for. */
const LENGTHS = { least: 16, most: 256 }
const MIB = 2 ** 20
const SAMPLE_MS = 5_000
/** Milliseconds until the memory of a process has settled. */
const SETTLED_SHARE = 0.5

/** Options with their defaults. */
export const usage = '--rounds N (100), --clients N (64), --minutes N (5), --malformed N (10000), --seed N (1), --json'

interface Way {
  /** Milliseconds from the request to its first text, by answer. */
  first: number[]
  /** Milliseconds from one text to the next. */
  between: number[]
}

export async function bench(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      rounds: { type: 'string', default: '100' },
      clients: { type: 'string', default: '64' },
      minutes: { type: 'string', default: '5' },
      malformed: { type: 'string', default: '10000' },
      seed: { type: 'string', default: '1' },
      json: { type: 'boolean', default: false }
    }
  })
  await using mesh = await babbleMesh()
  const url = (await mesh.origin().status()).gateway ?? ''
  const ways = await compare(mesh, url, Number(values.rounds))
  const crowd = await crowded(mesh, url, {
    ...{ clients: Number(values.clients), minutes: Number(values.minutes), seed: Number(values.seed) }
  })
  const nonsense = await malformed(mesh, url, { count: Number(values.malformed), seed: Number(values.seed) })
  if (values.json) console.log(JSON.stringify({ machine: machine(), ways, crowd, nonsense }))
  else print({ ways, crowd, nonsense })
  if (crowd.errors.length > 0 || !nonsense.lives || nonsense.wrong.length > 0) process.exitCode = 1
}

/** Taking turns, so that both have the same machine. */
async function compare(mesh: BenchMesh, url: string, rounds: number): Promise<{ socket: Way; gateway: Way }> {
  const ways = { socket: { first: [], between: [] } as Way, gateway: { first: [], between: [] } as Way }
  const request = babbleRequest({ maxTokens: TOKENS })
  for (let round = -3; round < rounds; round++) {
    const socket = await timesOf(textsOverSocket(mesh, request))
    const gateway = await timesOf(textsOverGateway(url, bodyOf(request)))
    if (round < 0) continue // until everything is warm
    for (const [way, times] of [[ways.socket, socket] as const, [ways.gateway, gateway] as const]) {
      way.first.push(times[0] ?? NaN)
      way.between.push(...times.slice(1).map((time, i) => time - (times[i] ?? NaN)))
    }
  }
  return ways
}

/** Milliseconds from now to each text. */
async function timesOf(texts: AsyncIterable<string>): Promise<number[]> {
  const since = performance.now()
  const times: number[] = []
  for await (const text of texts) if (text !== '') times.push(performance.now() - since)
  return times
}

async function* textsOverSocket(mesh: BenchMesh, request: GenerateRequest): AsyncGenerator<string> {
  for await (const event of withoutErrorEvents(mesh.origin().generate(request))) {
    if (event.event === 'text') yield event.text
  }
}

const bodyOf = ({ model, prompt, sampling }: GenerateRequest): object => ({
  ...{ model, prompt, stream: true, flambeau: { dtype: 'f32', replay: 'exact' } },
  ...{ temperature: sampling.temperature, max_tokens: sampling.maxTokens }
})

/** @throws Error with what the gateway answered instead of a stream, or at its end */
async function* textsOverGateway(url: string, body: object): AsyncGenerator<string> {
  const headers = { 'content-type': 'application/json' }
  const response = await fetch(`${url}/v1/completions`, { method: 'POST', headers, body: JSON.stringify(body) })
  if (response.status !== 200 || response.body === null) {
    throw new Error(`${response.status}: ${await response.text()}`)
  }
  let held = ''
  for await (const part of response.body.pipeThrough(new TextDecoderStream())) {
    const events = `${held}${part}`.split('\n\n')
    held = events.pop() ?? ''
    for (const event of events) {
      if (!event.startsWith('data: {')) continue
      const data = JSON.parse(event.slice('data: '.length)) as { choices?: { text: string }[]; error?: object }
      if (data.error !== undefined) throw new Error(JSON.stringify(data.error))
      yield data.choices?.[0]?.text ?? ''
    }
  }
}

interface Crowd {
  clients: number
  minutes: number
  answers: number
  tokens: number
  errors: string[]
  /** Texts that each client had. */
  perClient: number[]
  /** Of the origin's daemon, MiB: at half time, at the end, at most of any process. */
  memory: { half: number; end: number; most: number }
  /** Milliseconds until the first text, waiting for a turn included. */
  first: number[]
}

async function crowded(
  mesh: BenchMesh,
  url: string,
  { clients, minutes, seed }: { clients: number; minutes: number; seed: number }
): Promise<Crowd> {
  const until = performance.now() + minutes * 60_000
  const begun = performance.now()
  const crowd: Crowd = {
    ...{ clients, minutes, answers: 0, tokens: 0, errors: [], perClient: [], first: [] },
    memory: { half: 0, end: 0, most: 0 }
  }
  const memory = new MemoryWatch()
  const { pid } = mesh.mesh.node(0).process
  const sampler = setInterval(() => void memory.sample([{ what: 'origin', pid }]), SAMPLE_MS)
  const client = async (index: number): Promise<void> => {
    const random = mulberry32(seed * 1_000 + index)
    while (performance.now() < until) {
      const maxTokens = LENGTHS.least + Math.floor(random() * (LENGTHS.most - LENGTHS.least))
      try {
        const times = await timesOf(textsOverGateway(url, bodyOf(babbleRequest({ maxTokens }))))
        crowd.answers++
        crowd.tokens += maxTokens
        crowd.first.push(times[0] ?? NaN)
        crowd.perClient[index] = (crowd.perClient[index] ?? 0) + maxTokens
      } catch (error) {
        crowd.errors.push(String(error))
      }
    }
  }
  await Promise.all(Array.from({ length: clients }, (_, index) => client(index)))
  clearInterval(sampler)
  const end = performance.now()
  const half = begun + (end - begun) * SETTLED_SHARE
  const [line] = memory.through(half, end, 3 * SAMPLE_MS).filter(({ what }) => what.endsWith('daemon'))
  crowd.memory = { half: line?.firstMiB ?? NaN, end: line?.lastMiB ?? NaN, most: memory.largest / MIB }
  return crowd
}

interface Nonsense {
  count: number
  /** How many had each status; 0: the connection was closed without one. */
  statuses: Record<number, number>
  wrong: string[]
  /** Whether it answers afterwards. */
  lives: boolean
}

/** Requests with a few bytes changed, cut off, or put together at random; any status below 500 is right. */
async function malformed(
  mesh: BenchMesh,
  url: string,
  { count, seed }: { count: number; seed: number }
): Promise<Nonsense> {
  const random = mulberry32(seed)
  const nonsense: Nonsense = { count, statuses: {}, wrong: [], lives: false }
  const port = Number(new URL(url).port)
  const body = JSON.stringify({ ...bodyOf(babbleRequest({ maxTokens: 1 })), stream: false })
  for (let i = 0; i < count; i++) {
    const bytes = broken(body, random)
    const status = await statusOf(bytes, port)
    nonsense.statuses[status] = (nonsense.statuses[status] ?? 0) + 1
    if (status >= 500 && status !== 503 && status !== 529) nonsense.wrong.push(bytes.toString('latin1').slice(0, 400))
  }
  const texts = await timesOf(textsOverGateway(url, bodyOf(babbleRequest({ maxTokens: 4 }))))
  nonsense.lives = texts.length > 0 && !mesh.mesh.node(0).process.hasEnded
  return nonsense
}

function broken(body: string, random: () => number): Buffer {
  const pick = <T>(...choices: T[]): T | undefined => choices[Math.floor(random() * choices.length)]
  const changed = Buffer.from(body)
  const changes = Math.floor(random() * 4)
  for (let i = 0; i < changes; i++) changed[Math.floor(random() * changed.length)] = Math.floor(random() * 256)
  const length = pick(
    changed.length,
    changed.length,
    changed.length + 5,
    Math.floor(random() * changed.length),
    -1,
    1e20
  )
  const lines = [
    `${pick('POST', 'POST', 'POST', 'GET', 'PUT', 'p\u0000st', '')} ${pick('/v1/completions', '/v1/completions', '/v1/chat/completions', '/%', '//', '*')} ${pick('HTTP/1.1', 'HTTP/1.1', 'HTTP/1.1', 'HTTP/9', '')}`,
    `host: ${pick('127.0.0.1', '127.0.0.1', '127.0.0.1', 'evil.example', '')}`,
    `content-type: ${pick('application/json', 'application/json', 'application/json', 'text/plain', 'a'.repeat(300))}`,
    `content-length: ${length}`,
    ...(random() < 0.1 ? [`x-${'y'.repeat(20_000)}: z`] : []),
    ...(random() < 0.1 ? ['transfer-encoding: chunked'] : []),
    ...(random() < 0.1 ? [String.fromCharCode(...Array.from({ length: 20 }, () => random() * 256))] : [])
  ]
  return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), changed])
}

/** 0 where the connection is closed without an answer. */
async function statusOf(bytes: Buffer, port: number): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>()
  let answer = ''
  const socket = connect(port, '127.0.0.1')
  const done = (): void => resolve(Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1] ?? 0))
  socket.setEncoding('latin1').on('data', (part: string) => {
    answer += part
    if (answer.includes('\r\n\r\n')) socket.destroy()
  })
  socket.on('error', done).on('close', done)
  // Its end: what is cut off will not be waited for.
  socket.end(bytes)
  return promise
}

function print({
  ways,
  crowd,
  nonsense
}: {
  ways: { socket: Way; gateway: Way }
  crowd: Crowd
  nonsense: Nonsense
}): void {
  const line = (what: string, { first, between }: Way): void => {
    const both = (values: readonly number[], share: number): string => quantile(values, share).toFixed(2).padStart(9)
    console.log(`${what.padEnd(10)}${both(first, 0.5)}${both(first, 0.99)}${both(between, 0.5)}${both(between, 0.99)}`)
  }
  console.log(`${ways.socket.first.length} answers of ${TOKENS} tokens each way, in turns, ms, on ${machine()}`)
  console.log('          first p50      p99  token p50      p99')
  line('command', ways.socket)
  line('gateway', ways.gateway)
  const { clients, minutes, answers, tokens, errors, perClient, memory, first } = crowd
  console.log(
    `${clients} clients for ${minutes} minutes: ${answers} answers, ${tokens} tokens, ${errors.length} errors`
  )
  for (const error of errors.slice(0, 5)) console.log(`  ${error}`)
  const seconds = [0.5, 0.95, 1].map(share => (quantile(first, share) / 1_000).toFixed(2))
  console.log(`  first text after p50 ${seconds[0]} s, p95 ${seconds[1]} s, most ${seconds[2]} s`)
  console.log(`  tokens of a client: ${Math.min(...perClient)} to ${Math.max(...perClient)}`)
  console.log(
    `  origin's daemon, MiB: ${memory.half.toFixed(0)} at half time, ${memory.end.toFixed(0)} at the end, at most ${memory.most.toFixed(0)} of any process`
  )
  console.log(
    `${nonsense.count} malformed requests: ${JSON.stringify(nonsense.statuses)}, it ${nonsense.lives ? 'lives' : 'is dead'}`
  )
  for (const one of nonsense.wrong.slice(0, 5)) console.log(`  ${JSON.stringify(one)}`)
}
