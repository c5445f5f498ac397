import { setTimeout as sleep } from 'node:timers/promises'
import { asError, CodedError } from '../../protocol/errors.js'
import { architectureOf } from '../engine/architectures.js'
import { EngineError } from '../engine/errors.js'
import { type CutCandidate, cutCandidates, type CutSearch, knownPeriod, layerKinds, rangesBetween } from './cut-period.js'
import { describeModel } from './description.js'
import { readGguf } from './gguf.js'
import { argmax, runChain, runWhole, type SplitEngine, type SplitSubject, type Transcript } from './split-run.js'
import type { LayerRange } from './types.js'

export type SplitErrorCode =
  /** The architecture is known not to give the same answers when it is cut. */
  | 'UNSPLITTABLE'
  /** None of the cuts that were tried gave the whole model's answers. */
  | 'NO_EXACT_CUTS'
  /** The whole model does not run here, so nothing can be compared. */
  | 'WHOLE_FAILED'

/** A model cannot be shared, and why. */
export class SplitError extends CodedError<SplitErrorCode> {
  override name = 'SplitError'
}

/** Which part of a comparison runs. */
export interface SplitProgress {
  /** Cuts under test; empty while the whole model runs. */
  cuts: readonly number[]
  /** Layers that are being run. */
  range: LayerRange
  layers: number
}

export interface SplitCheckOptions {
  /** A GGUF file of the whole model. */
  file: string
  /** A started engine that nothing else uses: a wrong cut may crash it. */
  engine: SplitEngine
  /** The prompt; 40 ids spread over the vocabulary by default. */
  tokens?: Uint32Array
  /** For shard files, which are removed again; the system's folder for temporary files by default. */
  folder?: string
  onProgress?: (progress: SplitProgress) => void
  signal?: AbortSignal
}

/** A comparison of a model cut at `cuts` with the whole one. */
export interface SplitCheckResult {
  architecture: string
  layers: number
  cuts: number[]
  /** Over all logits of all steps; infinite when the cut model gave a number that is not finite. */
  largestDifference: number
  /** Absolute, of the whole model. */
  largestLogit: number
  /** Steps after which the most likely token is another one. */
  differentTokens: number
  exact: boolean
}

export interface FoundCuts {
  architecture: string
  layers: number
  /** Layers before which the model may be cut, ascending; empty for a model of one layer. */
  cuts: number[]
  /** For people: how they were chosen. */
  rule: string
  /** The comparisons that prove it. */
  checks: SplitCheckResult[]
}

/** Of the largest logit: what the shape of a batch alone can make, measured (see docs/architecture.md). */
const TOLERANCE = 1e-3
const PROMPT_TOKENS = 40
/** Steps of one token after the prompt: the caches are read back, not only written. */
const DECODE_STEPS = 20
/** Milliseconds between looks at an engine that is restarting, and until it is given up. */
const RESTART_POLL = 50
const RESTART_LIMIT = 60_000

/**
 * Compares a model cut before each layer of `cuts` with the whole one: every logit after a prompt and after each of
 * 20 single tokens. At most one of them, or one shard, is loaded at a time.
 * @throws SplitError WHOLE_FAILED; ModelError for a bad file; EngineError when llama.cpp fails on a shard.
 */
export async function checkSplit(options: SplitCheckOptions & { cuts: readonly number[] }): Promise<SplitCheckResult> {
  const { subject } = await openSubject(options)
  const ranges = rangesBetween(options.cuts, subject.description.layers)
  const whole = await reference(subject, options)
  return await compare(subject, { whole, ranges, ...options })
}

/**
 * Finds where the model may be cut, and proves it: the first of the candidates (see `cutCandidates`) of which a chain
 * of shards, cut everywhere, gives the whole model's logits, confirmed by a single cut in the middle.
 * @throws SplitError UNSPLITTABLE, NO_EXACT_CUTS, WHOLE_FAILED; ModelError for a bad file.
 */
export async function findCuts(options: SplitCheckOptions): Promise<FoundCuts> {
  const { subject, search } = await openSubject(options)
  const { architecture, layers } = search
  refuseUnsupported(architecture)
  if (layers === 1) return { architecture, layers, cuts: [], rule: 'a single layer', checks: [] }
  const whole = await reference(subject, options)
  const failures: string[] = []
  for (const candidate of cutCandidates(search)) {
    const checks = await proveCandidate(subject, candidate, { whole, ...options })
    if (Array.isArray(checks)) return { architecture, layers, ...candidate, checks }
    failures.push(`${candidate.rule}: ${checks}`)
  }
  const tried = failures.join('; ') || `its pattern repeats only every ${search.known} of ${layers} layers`
  const message = `${architecture} model cannot be shared: cut, it does not answer as the whole one does (${tried})`
  throw new SplitError('NO_EXACT_CUTS', message, { details: { architecture, layers } })
}

async function openSubject(options: SplitCheckOptions): Promise<{ subject: SplitSubject; search: CutSearch }> {
  const { file, engine, folder, signal } = options
  const gguf = await readGguf(file, signal ? { signal } : {})
  const description = describeModel(gguf)
  const { architecture, layers } = description
  const metadata = (key: string): unknown => gguf.metadata.value(key)
  const known = knownPeriod(architecture, metadata)
  const search = { architecture, layers, known, kinds: layerKinds(architecture, metadata) }
  const subject: SplitSubject = { engine, model: { file, gguf }, description }
  return { subject: { ...subject, ...(folder !== undefined && { folder }), ...(signal && { signal }) }, search }
}

function refuseUnsupported(architecture: string): void {
  const reason = architectureOf(architecture).unsupported
  if (reason === undefined) return
  throw new SplitError('UNSPLITTABLE', `${architecture} models cannot be split: ${reason}`, { details: { architecture } })
}

async function reference(subject: SplitSubject, options: SplitCheckOptions): Promise<Transcript> {
  const { layers, vocabulary } = subject.description
  options.onProgress?.({ cuts: [], range: { start: 0, end: layers }, layers })
  const prompt = options.tokens ?? spreadTokens(vocabulary)
  const fail = (message: string, cause?: unknown): SplitError => new SplitError('WHOLE_FAILED', message, { cause })
  let whole: Transcript
  try {
    whole = await runWhole(subject, prompt, DECODE_STEPS)
  } catch (error) {
    subject.signal?.throwIfAborted()
    throw fail(`the whole model does not run on this machine, so its cuts cannot be proven: ${asError(error).message}`, error)
  }
  if (whole.logits.every(row => row.every(Number.isFinite))) return whole
  throw fail('the whole model itself gives logits that are not numbers: is the file damaged?')
}

function spreadTokens(vocabulary: number): Uint32Array {
  return Uint32Array.from({ length: PROMPT_TOKENS }, (_, i) => (i * 37 + 11) % vocabulary)
}

type Comparison = Pick<SplitCheckOptions, 'onProgress'> & { whole: Transcript }

/** The comparisons, when all of them are exact; else what was wrong. */
async function proveCandidate(
  subject: SplitSubject,
  { cuts }: CutCandidate,
  comparison: Comparison
): Promise<SplitCheckResult[] | string> {
  const { layers } = subject.description
  const middle = cuts.reduce((best, cut) => (Math.abs(cut - layers / 2) < Math.abs(best - layers / 2) ? cut : best))
  const checks: SplitCheckResult[] = []
  for (const some of cuts.length === 1 ? [cuts] : [cuts, [middle]]) {
    const check = await compareOrFail(subject, rangesBetween(some, layers), comparison)
    if (typeof check === 'string') return check
    if (!check.exact) {
      return `logits differ by up to ${check.largestDifference.toPrecision(3)}, ${check.differentTokens} tokens differ`
    }
    checks.push(check)
  }
  return checks
}

/** llama.cpp ends its process on shards that it does not like: that is an answer too, once the engine is back. */
async function compareOrFail(
  subject: SplitSubject,
  ranges: readonly LayerRange[],
  comparison: Comparison
): Promise<SplitCheckResult | string> {
  try {
    return await compare(subject, { ...comparison, ranges })
  } catch (error) {
    subject.signal?.throwIfAborted()
    if (!(error instanceof EngineError)) throw error
    await untilReady(subject)
    return asError(error).message
  }
}

async function untilReady({ engine, signal }: SplitSubject): Promise<void> {
  const end = performance.now() + RESTART_LIMIT
  do {
    if (performance.now() > end) throw new SplitError('WHOLE_FAILED', 'the engine did not come back after a failed check')
    await sleep(RESTART_POLL, undefined, signal ? { signal } : {})
  } while (engine.state !== 'ready')
}

async function compare(
  subject: SplitSubject,
  { whole, ranges, onProgress }: Comparison & { ranges: readonly LayerRange[] }
): Promise<SplitCheckResult> {
  const { architecture, layers } = subject.description
  const cuts = ranges.slice(1).map(({ start }) => start)
  const logits = await runChain(subject, ranges, whole.steps, range => onProgress?.({ cuts, range, layers }))
  const rows = whole.logits.map((expected, n) => compareRows(expected, logits[n] ?? new Float32Array()))
  const largestDifference = Math.max(...rows.map(row => row.difference))
  const largestLogit = Math.max(...rows.map(row => row.largest))
  const differentTokens = rows.filter(row => row.otherToken).length
  const exact = differentTokens === 0 && largestDifference <= TOLERANCE * largestLogit
  return { architecture, layers, cuts, largestDifference, largestLogit, differentTokens, exact }
}

function compareRows(
  expected: Float32Array,
  actual: Float32Array
): { difference: number; largest: number; otherToken: boolean } {
  let difference = 0
  let largest = 0
  expected.forEach((value, i) => {
    const distance = Math.abs(value - (actual[i] ?? NaN))
    difference = Math.max(difference, Number.isNaN(distance) ? Infinity : distance)
    largest = Math.max(largest, Math.abs(value))
  })
  return { difference, largest, otherToken: argmax(expected) !== argmax(actual) }
}
