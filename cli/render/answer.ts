import type { GenerateStats, RouteStageView } from '../../node/control/contract.js'
import type { Answer } from '../answer.js'
import type { Paint } from './colour.js'
import { layerRange, milliseconds, printable, shortPeer } from './format.js'
import { table } from './table.js'

const LINKS: Readonly<Record<RouteStageView['link'], string>> = {
  local: 'in this process',
  direct: 'to the next stage',
  relayed: 'to the next stage, relayed',
  star: 'through the origin',
  origin: 'back to the origin'
}

/** The route that an answer took and where its time went. */
export function routeLines(stats: GenerateStats, paint: Paint): string[] {
  const rows = stats.stages.map(stage => [
    `${printable(stage.name)} ${paint('dim', stage.local ? '(this node)' : shortPeer(stage.peer))}`,
    layerRange(stage),
    LINKS[stage.link],
    milliseconds(stage.computeMs),
    milliseconds(stage.queuedMs)
  ])
  const network = [paint('dim', 'network and hops'), '', '', milliseconds(stats.networkMs), '']
  return table(
    [
      { title: 'node' },
      { title: 'layers', align: 'right' },
      { title: 'sends' },
      { title: 'per token', align: 'right' },
      { title: 'waited', align: 'right' }
    ],
    [...rows, network]
  )
}

/** A line for each time that nodes were replaced while the answer went on. */
export function rerouteLines(reroutes: Answer['reroutes']): string[] {
  return reroutes.map(({ lost, elapsedMs, replayed }) => {
    const who = lost.map(({ name, peer, reason, ...layers }) => {
      const why = reason === undefined ? 'left' : 'was lost'
      return `${printable(name) || shortPeer(peer)} (layers ${layerRange(layers)}) ${why}`
    })
    return `${who.join(', ')}; others took over within ${milliseconds(elapsedMs)}, ${replayed} positions were sent again`
  })
}

/** One line: how much, how fast. */
export function speedLine(stats: GenerateStats): string {
  const tokens = `${stats.generatedTokens} tokens at ${stats.tokensPerSecond.toFixed(1)} tokens/s`
  return `${tokens}, first after ${milliseconds(stats.firstTokenMs)}`
}

/** What `--stats` adds. */
export function statsLines(stats: GenerateStats): string[] {
  const { promptTokens, cachedTokens, promptMs } = stats
  const perSecond = promptMs > 0 ? ((promptTokens - cachedTokens) / promptMs) * 1000 : 0
  const cached = cachedTokens > 0 ? ` (${cachedTokens} were there already)` : ''
  return [
    `prompt: ${promptTokens} tokens${cached} in ${milliseconds(promptMs)}, ${perSecond.toFixed(1)} tokens/s`,
    `answer: ${stats.generatedTokens} tokens in ${milliseconds(stats.decodeMs)}, seed ${stats.seed}`
  ]
}
