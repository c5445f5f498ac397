import { simulate } from './run.js'
const [nodes, layers, hours, seed, stay, least, most] = process.argv.slice(2).map(Number) as number[]
for (const rule of ['flambeau', 'petals'] as const) {
  const t = performance.now()
  const {
    served,
    nodes: _,
    ...rest
  } = simulate(rule, {
    nodes: nodes!,
    layers: layers!,
    hours: hours!,
    seed: seed!,
    stayHours: stay!,
    fits: { least: least!, most: most! }
  })
  console.log(rest, served.length, ((performance.now() - t) / 1000).toFixed(1) + 's')
}
