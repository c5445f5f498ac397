import type {
  AlonePlan,
  EstimateView,
  MissingRange,
  PlannedSize,
  PlannedSpeed,
  PlanView,
  SwarmPlan
} from '../../node/control/plan.js'
import { accuracyOf, firstTokenOf, isMeasured, type Pair, rateOf } from '../../node/estimate/accuracy.js'
import { errorOf } from '../../node/estimate/correction.js'
import type { Paint } from './colour.js'
import { bytes, count, layerRange, layerRanges, milliseconds, moment, percent, printable, shortPeer } from './format.js'
import { pairs, table } from './table.js'

type Route = Extract<SwarmPlan, { kind: 'route' }>

/** What to expect of a model. */
export function planLines(plan: PlanView, paint: Paint): string[] {
  const { model, layers, promptTokens, size, alone, swarm, faster } = plan
  const facts: [string, string][] = [
    ['model', `${paint('bold', printable(model))}, ${count(layers, 'layer')}`],
    ['size', size === undefined ? 'not known: nobody who has its header answers' : sizeText(size)],
    ['alone', aloneText(alone, size)],
    ['swarm', swarmText(swarm)],
    ...(swarm.kind === 'route' ? [['limit', limitText(swarm)] as [string, string]] : [])
  ]
  const notes = speeds(plan).length > 0 ? [`First token: for a prompt of ${count(promptTokens, 'token')}.`] : []
  return [...pairs(facts), ...detailLines(swarm, paint), ...notes, ...fasterLines(faster, swarm)]
}

function speeds({ alone, swarm }: PlanView): PlannedSpeed[] {
  return [...(alone.speed ? [alone.speed] : []), ...(swarm.kind === 'route' ? [swarm.speed] : [])]
}

function sizeText({ weights, layer, embedding, head, needed, positions }: PlannedSize): string {
  const parts = `a layer ${bytes(layer)} at most, embedding ${bytes(embedding)}, head ${bytes(head)}`
  return `${bytes(weights)} of weights, ${bytes(needed)} of memory with room for ${positions} positions: ${parts}`
}

function aloneText({ fits, memoryBytes, speed }: AlonePlan, size: PlannedSize | undefined): string {
  const given = `${bytes(memoryBytes)} are given`
  if (fits === undefined) return `whether it fits here is not known; ${given}`
  if (!fits) return `does not fit here: needs ${bytes(size?.needed ?? 0)}, ${given}`
  if (speed === undefined) return `fits here, ${given}; how fast is not known: this node serves no layers of it`
  return speedText(speed)
}

function swarmText(swarm: SwarmPlan): string {
  if (swarm.kind === 'route') return speedText(swarm.speed)
  if (swarm.kind === 'missing') return `cannot answer: nobody serves layers ${layerRanges(swarm.ranges)}`
  if (swarm.kind === 'blocked') return `cannot answer now: ${printable(swarm.message)}`
  const { nodes, memoryBytes, fits } = swarm
  const given = `${count(nodes, 'node')} ${nodes === 1 ? 'gives' : 'give'} ${bytes(memoryBytes)}, whatever they hold now`
  return `nobody shares it yet; it ${fits ? 'would fit' : 'would not fit'}: ${given}`
}

function speedText({ tokensPerSecond, firstTokenMs, correctedBy }: PlannedSpeed): string {
  const by = correctedBy > 0 ? ` (corrected by the last ${correctedBy} answers)` : ''
  return `${tokensPerSecond.toFixed(1)} tokens/s, first after ${milliseconds(firstTokenMs)}${by}`
}

function limitText({ limit, stages }: Route): string {
  const share = `${percent(limit.share)} of each token`
  if (limit.kind === 'network') return `the network and its hops: ${share}`
  const stage = stages[limit.stage]
  return `compute on ${stage === undefined ? 'a stage' : who(stage)}: ${share}`
}

function detailLines(swarm: SwarmPlan, paint: Paint): string[] {
  if (swarm.kind === 'route') return ['', ...stageLines(swarm, paint), '']
  return swarm.kind === 'missing' ? ['', ...swarm.ranges.flatMap(takerLines), ''] : []
}

function stageLines({ stages, networkMs }: Route, paint: Paint): string[] {
  const rows = stages.map(stage => [
    `${printable(stage.name)} ${paint('dim', stage.local ? '(this node)' : shortPeer(stage.peer))}`,
    layerRange(stage),
    milliseconds(stage.milliseconds)
  ])
  const network = [paint('dim', 'network and hops'), '', milliseconds(networkMs)]
  return table(
    [{ title: 'node' }, { title: 'layers', align: 'right' }, { title: 'per token', align: 'right' }],
    [...rows, network]
  )
}

function takerLines({ start, end, bytes: needed, takers }: MissingRange): string[] {
  const range = `Layers ${layerRange({ start, end })}`
  if (needed === undefined) return [`${range}: what they take is not known.`]
  if (takers.length === 0) return [`${range} take ${bytes(needed)}; no node is known to have that much free.`]
  const nodes = takers.map(taker => `${who(taker)} (${bytes(taker.freeBytes)} free)`)
  return [`${range} take ${bytes(needed)}; room for them: ${nodes.join(', ')}.`]
}

function fasterLines(faster: PlanView['faster'], swarm: SwarmPlan): string[] {
  if (faster === 'alone') return ['Alone would be faster: this machine can run the whole model by itself.']
  if (faster === 'swarm') return ['The swarm is faster than this machine alone.']
  const isAlone = swarm.kind === 'route' && swarm.stages.every(({ local }) => local)
  return isAlone ? ['The route is this machine alone.'] : []
}

function who({ name, peer }: { name: string; peer: string }): string {
  return printable(name) || shortPeer(peer)
}

/** What was expected of answers, and what they took, oldest first. */
export function historyLines(estimates: readonly EstimateView[], now: Date, paint: Paint): string[] {
  if (estimates.length === 0) return ['No answers yet.']
  const rows = estimates.map(estimate => [
    ...[moment(new Date(estimate.at), now), printable(estimate.model), String(estimate.stages)],
    ...compared(rateOf(estimate), value => value.toFixed(1)),
    ...compared(firstTokenOf(estimate), milliseconds)
  ])
  const right = (title: string): { title: string; align: 'right' } => ({ title, align: 'right' })
  const columns = [
    ...[{ title: 'at' }, { title: 'model' }, right('stages')],
    ...[right('tokens/s expected'), right('measured'), right('error')],
    ...[right('first token expected'), right('measured'), right('error')]
  ]
  return [...table(columns, rows), '', paint('bold', medianLine(estimates))]
}

/** The medians of the errors, whichever way they are off. */
function medianLine(estimates: readonly EstimateView[]): string {
  const { answers, tokensPerSecond, firstToken } = accuracyOf(estimates)
  const known = [
    ...(tokensPerSecond === undefined ? [] : [`${percent(tokensPerSecond)} of tokens/s`]),
    ...(firstToken === undefined ? [] : [`${percent(firstToken)} of the first token`])
  ]
  return `Median error of the last ${count(answers, 'answer')}: ${known.join(', ') || 'not known'}.`
}

function compared(pair: Pair, text: (value: number) => string): string[] {
  if (!isMeasured(pair)) return [text(pair.estimated), '-', '-']
  const error = errorOf(pair)
  return [text(pair.estimated), text(pair.measured), `${error > 0 ? '+' : ''}${percent(error)}`]
}
