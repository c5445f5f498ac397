import { choosePlacement } from '../../node/scheduler/placement.js'
import { rebalance } from '../../node/scheduler/rebalance.js'
import { slowest, usableRates, layerRates } from '../../node/scheduler/throughput.js'
import type { PlacedShard, RebalanceRequest } from '../../node/scheduler/types.js'
import { bestThroughput } from './optimum.js'
import { petalsMoves, petalsStart } from './petals.js'
import { Random } from './random.js'

const results: { ratio: number; petals: number; joined: number; n: number; moves: number; pm: number }[] = []
const L = Number(process.argv[2] ?? 8)
const N = Number(process.argv[3] ?? 6)
const maxLen = Number(process.argv[4] ?? L)
let worst = { ratio: 9, text: '' }
for (let seed = 0; seed < Number(process.argv[5] ?? 300); seed++) {
  const random = new Random(seed)
  const n = N
  const size = {
    layers: L,
    cuts: Array.from({ length: L - 1 }, (_, i) => i + 1),
    layerBytes: Array<number>(L).fill(1),
    embeddingBytes: 0,
    headBytes: 0
  }
  const holders = Array.from({ length: n }, (_, i) => ({
    peer: `p${i}`,
    memoryBytes: random.integer(1, maxLen),
    layersPerSecond: random.logarithmic(20, 500)
  }))
  const red = holders.reduce((x, h) => x + h.memoryBytes, 0) / L
  if (red < Number(process.argv[6] ?? 0) || red > Number(process.argv[7] ?? 99)) continue
  const opt = bestThroughput(size, holders)
  if (opt === 0) continue
  const placed: PlacedShard[] = []
  for (const h of holders) {
    const p = choosePlacement({ ...size, ...h, served: placed, claims: [] })
    if (p.kind !== 'range') throw new Error('x')
    placed.push({ ...h, start: p.start, end: p.end })
  }
  const joined = slowest(usableRates(L, placed)) / opt
  const trace: string[] = [placed.map(p => `${p.start}-${p.end}`).join(' ')]
  let moves = 0
  for (let moved = true; moved;) {
    moved = false
    for (const h of holders) {
      const i = placed.findIndex(p => p.peer === h.peer)
      const self = placed[i]!
      const request: RebalanceRequest = {
        ...size,
        ...h,
        range: self,
        peer: h.peer,
        served: placed.filter(p => p.peer !== h.peer),
        claims: []
      }
      const r = rebalance(request)
      if (r.kind === 'move') {
        placed[i] = { ...h, start: r.start, end: r.end }
        moved = true
        moves++
        trace.push(
          placed.map(p => `${p.start}-${p.end}`).join(' ') + ' ' + (slowest(usableRates(L, placed)) / opt).toFixed(2)
        )
        if (moves > 100) throw new Error('osc')
      }
    }
  }
  // petals
  const pp: PlacedShard[] = []
  for (const h of holders) {
    const len = Math.min(L, h.memoryBytes)
    const start = petalsStart(layerRates(L, pp), len)
    pp.push({ ...h, start, end: start + len })
  }
  let pm = 0
  for (let round = 0; round < 50; round++) {
    let any = false
    for (const p of pp) {
      if (petalsMoves(L, pp, { peer: p.peer, random })) {
        const len = p.end - p.start
        const start = petalsStart(
          layerRates(
            L,
            pp.filter(q => q !== p)
          ),
          len
        )
        if (start !== p.start) {
          p.start = start
          p.end = start + len
          any = true
          pm++
        }
      }
    }
    if (!any) break
  }
  const ratio = slowest(usableRates(L, placed)) / opt
  const petals = slowest(layerRates(L, pp)) / opt
  results.push({ ratio, petals, joined, n, moves, pm })
  if (ratio < worst.ratio)
    worst = {
      ratio,
      text:
        holders.map(h => `${h.memoryBytes}@${h.layersPerSecond.toFixed(0)}`).join(' ') +
        ' | ' +
        trace.join(' | ') +
        ` opt ${opt}`
    }
}
const avg = (f: (r: (typeof results)[number]) => number) => results.reduce((s, r) => s + f(r), 0) / results.length
console.log({
  cases: results.length,
  joined: avg(r => r.joined),
  ours: avg(r => r.ratio),
  below95: results.filter(r => r.ratio < 0.95).length,
  min: Math.min(...results.map(r => r.ratio)),
  petals: avg(r => r.petals),
  worseThanPetals: results.filter(r => r.ratio < r.petals - 1e-9).length,
  moves: avg(r => r.moves),
  pm: avg(r => r.pm)
})
console.log(worst)
