import type { GenerateEvent, GenerateRequest, GenerateStats } from '../control/contract.js'
import { offeredModels, resolveModel, type OfferedModel } from '../pipeline/catalogue.js'
import { PipelineError } from '../pipeline/errors.js'
import type { Directory } from '../swarm/types.js'
import { corrected, isContinued, newTokens, type Corrected, type RouteKind } from './correction.js'
import { estimate, type Estimate, type RouteCost } from './cost.js'
import { experiences, type EstimateHistory } from './history.js'
import { routeCost, type CostedStage } from './route-cost.js'

export interface ForecastParts {
  directory: Pick<Directory, 'nodes'>
  history: Pick<EstimateHistory, 'list' | 'add'>
  /** As many layers as the head of a model counts for; 0 where it is not known. */
  headLayers: (manifest: string) => number
  /** Milliseconds since 1970. */
  wallNow: () => number
}

export interface ForecastSettings {
  /** The most rows of a step, as most nodes have it. */
  rowsPerStep: number
}

export interface ForecastRequest {
  /** Hash, hex. */
  manifest: string
  promptTokens: number
  /** Of the prompt: there already, over this very route. */
  cachedTokens: number
  stages: readonly Pick<CostedStage, 'peer' | 'start' | 'end'>[]
}

export interface Forecast {
  route: RouteKind
  raw: Estimate
  told: Corrected
}

type Route = Extract<GenerateEvent, { event: 'route' }>

/** What is expected of an answer when its route is chosen, and compared with what it took when it is over. */
export class Forecasts {
  readonly #parts: ForecastParts
  readonly #rowsPerStep: number

  constructor(parts: ForecastParts, { rowsPerStep }: ForecastSettings) {
    this.#parts = parts
    this.#rowsPerStep = rowsPerStep
  }

  /** Of a route with these costs. */
  of(cost: RouteCost, { manifest, promptTokens, cachedTokens, stages }: ForecastRequest): Forecast {
    const path = stages.map(({ peer, start, end }) => `${peer} ${start}-${end}`).join(', ')
    const route = { manifest, stages: cost.stages.length, ways: cost.ways.length, path }
    const prompt = { promptTokens, cachedTokens }
    const reading = (tokens: number): Estimate =>
      estimate(cost, { promptTokens: tokens, rowsPerStep: this.#rowsPerStep })
    const anew = reading(newTokens(prompt))
    const raw = isContinued(prompt) ? { ...anew, open: 0 } : anew
    const asked = { ...prompt, route, promptOf: (tokens: number) => reading(tokens).prompt }
    return { route, raw, told: corrected(raw, asked, experiences(this.#parts.history.list())) }
  }

  /** Passes the events of an answer on as they are, and remembers it once it is done. */
  async *follow({ model }: GenerateRequest, events: AsyncIterable<GenerateEvent>): AsyncGenerator<GenerateEvent> {
    let expected: (Forecast & { name: string }) | undefined
    for await (const event of events) {
      if (event.event === 'route') expected = this.#expect(model, event)
      if (event.event === 'done' && expected !== undefined) this.#remember(expected, event.stats)
      yield event
    }
  }

  #expect(wanted: string, { stages, promptTokens, cachedTokens }: Route): (Forecast & { name: string }) | undefined {
    const nodes = this.#parts.directory.nodes()
    const model = found(offeredModels(nodes), wanted)
    if (model === undefined) return undefined
    const { manifest, name, layers } = model
    const cost = routeCost(stages, { manifest, layers, headLayers: this.#parts.headLayers(manifest) }, nodes)
    return cost && { ...this.of(cost, { manifest, promptTokens, cachedTokens, stages }), name }
  }

  #remember({ name, route, raw, told }: Forecast & { name: string }, stats: GenerateStats): void {
    const { promptTokens, cachedTokens, generatedTokens, recoveries, tokensPerSecond, firstTokenMs, promptMs } = stats
    const { token, prompt, open } = told
    this.#parts.history.add({
      ...{ at: this.#parts.wallNow(), model: name, route, promptTokens, cachedTokens, generatedTokens, recoveries },
      ...{ estimated: raw, told: { token, prompt, open } },
      measured: {
        token: tokensPerSecond > 0 ? 1 / tokensPerSecond : 0,
        prompt: promptMs / 1_000,
        open: (firstTokenMs - promptMs) / 1_000
      }
    })
  }
}

/** Undefined where it is gone, or has become ambiguous, since the answer began. */
function found(models: readonly OfferedModel[], wanted: string): OfferedModel | undefined {
  try {
    return resolveModel(models, wanted)
  } catch (error) {
    if (error instanceof PipelineError) return undefined
    throw error
  }
}
