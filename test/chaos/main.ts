/**
 * `npm run chaos -- --schedules 200 --seed N [--from K] [--only K] [--replay fast]`: answers over real nodes that are
 * killed, frozen, paused, drained and cut off from each other meanwhile. Says what was lost, and ends with 1 if anything
 * was. Interrupted, it says what it has found so far.
 */
import '../../node/compat.js'
import { parseArgs } from 'node:util'
import { Internet } from '../support/internet.js'
import { ChaosMesh } from './chaos-mesh.js'
import { play, type Played } from './play.js'
import { schedule, schedules } from './schedule.js'
import { lineOf, summary } from './summary.js'

const { values } = parseArgs({
  options: {
    schedules: { type: 'string', default: '200' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    from: { type: 'string', default: '0' },
    only: { type: 'string' },
    replay: { type: 'string', default: 'exact' }
  }
})
const [seed, count] = [Number(values.seed), Number(values.schedules)]
const replay = values.replay === 'fast' ? 'fast' : 'exact'
const planned =
  values.only === undefined ? schedules(seed, count).slice(Number(values.from)) : [schedule(seed, Number(values.only))]

const obstacle = await Internet.obstacle({ routers: false })
if (obstacle !== undefined) console.log(`without partitions: a network of hosts ${obstacle}`)
console.log(`seed ${seed}, ${planned.length} schedules, ${replay} replay`)

await using mesh = await ChaosMesh.start({ partitions: obstacle === undefined })
const played: Played[] = []
const interrupted = new Promise<'interrupted'>(resolve => {
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => resolve('interrupted'))
})
for (const one of planned) {
  const playing = play(mesh, one, { replay })
  playing.catch(() => undefined) // once it is interrupted, nobody asks
  const result = await Promise.race([playing, interrupted])
  if (result === 'interrupted') {
    process.exitCode = 130
    break
  }
  played.push(result)
  console.log(lineOf(result))
  if (result.faults.length === 0) continue
  process.exitCode = 1
  console.log(`     repeat it: npm run chaos -- --seed ${seed} --only ${one.number} --replay ${replay}`)
}
for (const line of summary(played)) console.log(line)
if (process.exitCode === 130) {
  await mesh[Symbol.asyncDispose]()
  process.exit() // what was interrupted may wait for long yet
}
