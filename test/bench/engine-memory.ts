/** Whether an engine's process grows while it computes the same steps without an end: once hidden states, once candidates. */
import { parseArgs } from 'node:util'
import { describeModel } from '../../node/models/description.js'
import { readGguf } from '../../node/models/gguf.js'
import { startEngine } from '../support/engine.js'
import { EMBER } from '../support/models.js'
import { residentBytes } from '../support/processes.js'
import { machine } from './bench-mesh.js'
import { slope } from './statistics.js'

const MIB = 2 ** 20
const MS_PER_HOUR = 3_600_000
/** Milliseconds between two looks at the memory. */
const SAMPLE_MS = 2_000
/** Positions after which the sequence begins anew. */
const TURN = 256
const SETTINGS = { context: 2_048, sequences: 4, batch: 64 }
const KINDS = ['hidden states', 'candidates'] as const

interface Growth {
  what: string
  steps: number
  /** Resident, at first, in the middle and at the end. */
  mib: number[]
  /** Over the second half: V8 has made its heap as large as it wants it by then. */
  slopeMiBPerHour: number
  bytesPerStep: number
}

/** Options with their defaults. */
export const usage = '--model FILE (the bundled one), --minutes N (10), --json'

export async function bench(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      model: { type: 'string', default: EMBER },
      minutes: { type: 'string', default: '10' },
      json: { type: 'boolean', default: false }
    }
  })
  const minutes = Number(values.minutes)
  const growths = await Promise.all(KINDS.map(async what => grow(what, values.model, minutes * 60_000)))
  if (values.json) console.log(JSON.stringify({ model: values.model, minutes, machine: machine(), growths }))
  else {
    console.log(`${minutes} min, an engine each with one thread. On ${machine()}`)
    for (const growth of growths) console.log(line(growth))
  }
}

async function grow(what: (typeof KINDS)[number], file: string, duration: number): Promise<Growth> {
  const { architecture, layers, vocabulary } = describeModel(await readGguf(file))
  const engine = await startEngine()
  try {
    const { id: shard } = await engine.load({ file, architecture, start: 0, end: layers, layers }, SETTINGS)
    const head = what === 'candidates'
    const leave = head ? layers : layers - 1
    const want = { rows: head ? 1 : 0, candidates: head ? 40 : 0, ids: [], logSumExp: head }
    const points: { x: number; y: number; steps: number }[] = []
    const began = performance.now()
    let steps = 0
    for (let now = began; now < began + duration; now = performance.now()) {
      const last = points.at(-1)
      if (last === undefined || now >= last.x + SAMPLE_MS) {
        points.push({ x: now, y: await residentBytes({ pid: engine.pid ?? 0 }), steps })
      }
      const tokens = Uint32Array.of((steps * 7_919) % vocabulary)
      await engine.step({ shard, sequence: 0, position: steps % TURN, rows: 1, tokens, leave, dtype: 'f32', want })
      steps++
    }
    const half = points.filter(({ x }) => x >= began + duration / 2)
    const [first, middle, last] = [points[0], half[0], points.at(-1)].map(point => (point?.y ?? NaN) / MIB)
    return {
      ...{ what, steps, mib: [first ?? NaN, middle ?? NaN, last ?? NaN] },
      slopeMiBPerHour: (slope(half) * MS_PER_HOUR) / MIB,
      bytesPerStep: slope(half.map(({ steps: x, y }) => ({ x, y })))
    }
  } finally {
    await engine.stop()
  }
}

function line({ what, steps, mib, slopeMiBPerHour, bytesPerStep }: Growth): string {
  const [first, middle, last] = mib.map(size => size.toFixed(0))
  const growth = `${slopeMiBPerHour.toFixed(1)} MiB/h, ${bytesPerStep.toFixed(1)} bytes a step over the second half`
  return `${what}: ${steps} steps, ${first} MiB at first, ${middle} in the middle, ${last} at the end; ${growth}`
}
