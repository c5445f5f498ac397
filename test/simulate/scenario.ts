import type { ModelSize } from '../../node/scheduler/types.js'
import type { Holder } from './optimum.js'
import { Random } from './random.js'

export interface Scenario {
  nodes: number
  layers: number
  hours: number
  seed: number
  /** Mean hours that a node stays; as many come as go. Infinity: nobody leaves. */
  stayHours: number
  /** Layers that fit a node's memory. */
  fits: { least: number; most: number }
}

/** A node as the simulation knows it. */
export interface SimulatedNode extends Holder {
  /** Seconds to fetch one layer. */
  fetchSeconds: number
  /** Rounds by which it hears later of others than the directory could tell. */
  behind: number
  /** Where it is, in a square whose sides take `WIDTH_SECONDS` one way. */
  x: number
  y: number
  staySeconds: number
  /** Goes without a word. */
  vanishes: boolean
}

/** Of those who leave, so many parts just vanish; the others say so. */
export const VANISHING = 0.5
/** Until everybody knows of one that vanished: the life of its record. */
export const RECORD_SECONDS = 180
/** Seconds to load one layer. */
export const LOAD_SECONDS = 2
/** Of fetches, so many parts fail half way. */
export const FAILING_FETCHES = 0.05
/** The first nodes of a swarm come within so many seconds. */
export const ARRIVAL_SECONDS = 3_600

/** Tokens per second for one layer: an old laptop to a good GPU. */
const SPEEDS = [200, 5_000] as const
/** Seconds to fetch a layer: 250 MB at 50 to 2 MB/s. */
const FETCHES = [5, 125] as const

/** A model of equal layers, whose bytes are counted in layers; it may be cut anywhere. */
export function modelOf({ layers }: Pick<Scenario, 'layers'>): ModelSize {
  const cuts = Array.from({ length: layers - 1 }, (_, index) => index + 1)
  return { layers, cuts, layerBytes: Array<number>(layers).fill(1), embeddingBytes: 0, headBytes: 0 }
}

/** The node that comes as number `index`: the same one whatever rule it will follow. */
export function someNode(index: number, { fits, seed, stayHours }: Scenario): SimulatedNode {
  const random = new Random(seed * 1_000_003 + index)
  random.next() // neighbouring seeds begin alike
  return {
    peer: `${random.integer(0, 0xffff).toString(16)}-${index}`,
    memoryBytes: Math.floor(random.logarithmic(fits.least, fits.most + 1)),
    layersPerSecond: random.logarithmic(...SPEEDS),
    fetchSeconds: random.logarithmic(...FETCHES),
    behind: random.integer(0, 2),
    x: random.next(),
    y: random.next(),
    staySeconds: stayHours === Infinity ? Infinity : random.exponential(stayHours * 3_600),
    vanishes: random.next() < VANISHING
  }
}
