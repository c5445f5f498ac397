/** What a chaos run does, made of a seed. Pure. */
import { mulberry32 } from '../support/random.js'
import { holdersOf, LAYERS, ORIGIN } from './layout.js'

export const BLOWS = ['kill', 'kill-engine', 'leave', 'drain', 'pause', 'freeze', 'isolate'] as const
/**
 * `leave` is SIGTERM, `freeze` SIGSTOP, and an isolated node is cut off from every other host. All of them but `leave`,
 * `drain` and `pause` come without a warning.
 */
export type Blow = (typeof BLOWS)[number]

export type Act =
  /** The node that is this stage of the answer's route just then (counted round), or one that can be spared. */
  | { do: 'strike'; blow: Blow; stage: number }
  /** All nodes that hold this layer: nobody is left who could take their place. */
  | { do: 'black-out'; blow: Blow; layer: number }
  /** A stage of the answer's route and the next one no longer reach each other; the origin reaches both. */
  | { do: 'cut'; stage: number }
  /** Whoever an earlier disturbance struck is there again, and serves. */
  | { do: 'restore'; of: number }

/** Done once this answer has this share of what it has undisturbed, and the disturbance before this one is done. */
export interface Disturbance {
  answer: number
  share: number
  act: Act
}

export interface PlannedAnswer {
  prompt: string
  temperature: number
  /** Of its sampling. */
  seed: number
  /** The most that are generated. */
  tokens: number
}

export interface Schedule {
  number: number
  /** The origin has layers too, and may be a stage of its own answers. */
  originServes: boolean
  /** Asked at once. */
  answers: PlannedAnswer[]
  disturbances: Disturbance[]
  /** `lost`: for a while no living node holds some layer, and nobody waits; `waits`: the answers wait until one does. */
  fate: 'completes' | 'waits' | 'lost'
}

const TEMPERATURES = [0, 0, 0.3, 0.7, 1, 1.2]
const WORDS = 'the of and to in is that it was for on as with his they be at one have this from'.split(' ')
/** Without a warning: leaving nodes would wait for sessions that nobody can take. */
const BLACK_OUTS: readonly Blow[] = ['kill', 'kill', 'isolate']
const MOST_PROMPT_WORDS = 100

/** The same schedules for the same seed; each by itself, whatever the number of them. */
export function schedules(seed: number, count: number): Schedule[] {
  return Array.from({ length: count }, (_, number) => schedule(seed, number))
}

export function schedule(seed: number, number: number): Schedule {
  const draw = new Draw(mulberry32(Math.imul(seed, 0x9e3779b1) + number))
  const fate = draw.of<Schedule['fate']>([...Array<'completes'>(8).fill('completes'), 'waits', 'lost'])
  const originServes = draw.chance(0.3)
  const count = draw.of([1, 1, 1, 1, 2, 2, 3])
  const answers = Array.from({ length: count }, () => plannedAnswer(draw))
  const disturbances = fate === 'completes' ? strikes(draw, answers) : blackOut(draw, { answers, originServes, fate })
  return { number, originServes, answers, disturbances, fate }
}

function plannedAnswer(draw: Draw): PlannedAnswer {
  const words = Math.ceil(MOST_PROMPT_WORDS ** draw.number())
  return {
    prompt: Array.from({ length: words }, () => draw.of(WORDS)).join(' '),
    temperature: draw.of(TEMPERATURES),
    seed: draw.below(2 ** 31),
    tokens: Math.round(16 * 40 ** draw.number())
  }
}

/** One to four, in the order in which they come; some are undone while the answers go on. */
function strikes(draw: Draw, answers: readonly PlannedAnswer[]): Disturbance[] {
  const shares = Array.from({ length: draw.of([1, 1, 2, 2, 3, 4]) }, () => draw.share()).sort((a, b) => a - b)
  const disturbances: Disturbance[] = []
  for (const share of shares) {
    disturbances.push({ answer: draw.below(answers.length), share, act: strike(draw) })
    if (!draw.chance(0.5)) continue
    disturbances.push({
      answer: draw.below(answers.length),
      share,
      act: { do: 'restore', of: disturbances.length - 1 }
    })
  }
  return disturbances
}

function strike(draw: Draw): Act {
  if (draw.chance(0.1)) return { do: 'cut', stage: draw.below(2) }
  return { do: 'strike', blow: draw.of(BLOWS), stage: draw.below(3) }
}

function blackOut(
  draw: Draw,
  { answers, originServes, fate }: Pick<Schedule, 'answers' | 'originServes' | 'fate'>
): Disturbance[] {
  const layers = [...Array(LAYERS).keys()].filter(layer => !originServes || !holdersOf(layer).includes(ORIGIN))
  const act: Act = { do: 'black-out', blow: draw.of(BLACK_OUTS), layer: draw.of(layers) }
  const struck: Disturbance = { answer: draw.below(answers.length), share: draw.share(), act }
  return fate === 'lost' ? [struck] : [struck, { ...struck, act: { do: 'restore', of: 0 } }]
}

class Draw {
  readonly #random: () => number

  constructor(random: () => number) {
    this.#random = random
  }

  /** From [0, 1). */
  number(): number {
    return this.#random()
  }

  /** In the course of an answer, rather early: it goes on while something is done. */
  share(): number {
    return 0.9 * this.#random() ** 2
  }

  below(limit: number): number {
    return Math.floor(this.#random() * limit)
  }

  chance(share: number): boolean {
    return this.#random() < share
  }

  of<T>(choices: readonly T[]): T {
    const choice = choices[this.below(choices.length)]
    if (choice === undefined) throw new RangeError('a choice of nothing')
    return choice
  }
}
