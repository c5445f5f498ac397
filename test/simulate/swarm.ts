import type { LayerRange } from '../../protocol/manifest.js'
import { isLost, missingLayers } from '../../node/scheduler/coverage.js'
import type { PlacedShard } from '../../node/scheduler/types.js'
import { Clock } from './clock.js'
import { ROUND_SECONDS, SimulatedDirectory, type Snapshot } from './directory.js'
import type { Random } from './random.js'
import type { Rule } from './rules.js'
import {
  ARRIVAL_SECONDS,
  FAILING_FETCHES,
  LOAD_SECONDS,
  RECORD_SECONDS,
  type Scenario,
  type SimulatedNode,
  someNode
} from './scenario.js'

/** Seconds between two attempts to leave the old layers, and how many there are before the move is given up. */
const LEAVE_AGAIN_SECONDS = 60
const LEAVE_ATTEMPTS = 10
/** A node that has served its layers for so many times as long may decide otherwise although nothing else has changed. */
const LONGER = 1.25

interface Member {
  node: SimulatedNode
  range: LayerRange | undefined
  claim: LayerRange | undefined
  /** What it saw when it decided to stay, and how long it had served then: until either changes, it would decide so again. */
  lookedAt: Snapshot | undefined
  lookedAfter: number
  /** When it began to serve its range. */
  since: number
  /** Of its next look: one that comes earlier takes its place. */
  turn: number
}

export interface SwarmParts {
  rule: Rule
  random: Random
}

/** A swarm in virtual time: nodes come, fetch, load, serve, move, leave and vanish. */
export class SimulatedSwarm {
  readonly clock = new Clock()
  readonly directory = new SimulatedDirectory(this.clock)
  moves = 0
  looks = 0
  /** Milliseconds of this machine that looks took. */
  lookMilliseconds = 0
  /** Called after each change of what is served. */
  onChange: () => void = () => undefined
  readonly #parts: SwarmParts
  readonly #scenario: Scenario
  readonly #members = new Map<string, Member>()
  #born = 0
  /** Layers that nobody served when it was looked last; none were ever before. */
  #missing: LayerRange[]

  constructor(parts: SwarmParts, scenario: Scenario) {
    this.#parts = parts
    this.#scenario = scenario
    this.#missing = [{ start: 0, end: scenario.layers }]
    this.directory.onSnapshot = snapshot => this.#watchHoles(snapshot)
    for (let index = 0; index < scenario.nodes; index++) {
      this.clock.after(parts.random.between(0, ARRIVAL_SECONDS), () => this.#arrive())
    }
  }

  /** What is really served now. */
  served(): PlacedShard[] {
    return [...this.#members.values()].flatMap(({ node, range }) => (range === undefined ? [] : [placed(node, range)]))
  }

  nodes(): SimulatedNode[] {
    return [...this.#members.values()].map(({ node }) => node)
  }

  #arrive(): void {
    const { rule } = this.#parts
    const node = someNode(this.#born++, this.#scenario)
    const member: Member = {
      node,
      range: undefined,
      claim: undefined,
      lookedAt: undefined,
      lookedAfter: 0,
      since: 0,
      turn: 0
    }
    this.#members.set(node.peer, member)
    if (node.staySeconds < Infinity) this.clock.after(node.staySeconds, () => this.#leave(member))
    const range = rule.join(this.directory.seen(node.behind), node)
    this.#claim(member, range)
    this.#join(member, range)
  }

  #join(member: Member, range: LayerRange): void {
    this.#fetch(member, range, isFetched => {
      if (isFetched) this.#load(member, range)
      else this.#join(member, range)
    })
  }

  /** One goes and another one comes. */
  #leave(member: Member): void {
    const { peer, vanishes } = member.node
    this.#members.delete(peer)
    this.clock.after(vanishes ? RECORD_SECONDS : 0, () => this.directory.forget(peer))
    this.onChange()
    this.#arrive()
  }

  #isHere({ node }: Member): boolean {
    return this.#members.has(node.peer)
  }

  #lookLater(member: Member, seconds = this.#parts.rule.wait()): void {
    const turn = ++member.turn
    this.clock.after(seconds, () => {
      if (this.#isHere(member) && member.turn === turn) this.#look(member)
    })
  }

  /** Whoever serves and is not on the way elsewhere looks soon after it hears that layers have lost their last holder. */
  #watchHoles({ served }: Snapshot): void {
    const { rule } = this.#parts
    const missing = missingLayers(this.#scenario.layers, served)
    const isNew = isLost(this.#missing, missing)
    this.#missing = missing
    if (!isNew || rule.waitAtHole === undefined) return
    for (const member of this.#members.values()) {
      const isFree = member.range !== undefined && member.claim === undefined
      if (isFree) this.#lookLater(member, member.node.behind * ROUND_SECONDS + rule.waitAtHole())
    }
  }

  #look(member: Member): void {
    const { rule } = this.#parts
    const { node, range } = member
    const seen = this.directory.seen(node.behind)
    const servedSeconds = this.clock.now - member.since
    const isKnown = seen === member.lookedAt && servedSeconds < member.lookedAfter * LONGER
    if (range === undefined || isKnown) {
      this.#lookLater(member)
      return
    }
    const started = performance.now()
    const to = rule.look(seen, { ...node, range, servedSeconds })
    this.looks++
    this.lookMilliseconds += performance.now() - started
    member.lookedAt = seen
    member.lookedAfter = servedSeconds
    if (to === undefined) {
      this.#lookLater(member)
      return
    }
    if (rule.careful === undefined) {
      this.#hurry(member, to)
      return
    }
    const older = new Set(seen.claims.map(({ peer }) => peer))
    this.#claim(member, to)
    this.clock.after(rule.careful.settleSeconds, () => {
      if (this.#isHere(member)) this.#moveCarefully(member, to, older)
    })
  }

  /** Leaves at once, then fetches and loads, as a server of Petals does. */
  #hurry(member: Member, to: LayerRange): void {
    const from = member.range
    member.range = undefined
    this.#claim(member, to)
    this.onChange()
    this.#fetch(member, to, () => this.#load(member, to), from)
    this.moves++
  }

  #moveCarefully(member: Member, claim: LayerRange, older: ReadonlySet<string>): void {
    const { rule } = this.#parts
    const { node, range } = member
    if (range === undefined || rule.careful === undefined) return
    const servedSeconds = this.clock.now - member.since
    const mine = { ...node, range, claim, older, servedSeconds }
    if (!rule.careful.confirm(this.directory.seen(node.behind), mine)) {
      this.#stay(member)
      return
    }
    this.#fetch(
      member,
      claim,
      isFetched => {
        if (isFetched) this.#leaveOld(member, claim, LEAVE_ATTEMPTS)
        else this.#stay(member)
      },
      range
    )
  }

  /** The old range goes once that opens no hole. */
  #leaveOld(member: Member, claim: LayerRange, attempts: number): void {
    const { careful } = this.#parts.rule
    const { node, range } = member
    if (range === undefined || careful === undefined) return
    if (
      careful.mayLeave(this.directory.seen(node.behind), {
        ...node,
        range,
        claim,
        servedSeconds: this.clock.now - member.since
      })
    ) {
      this.moves++
      const fitBeside = range.end - range.start + claim.end - claim.start <= node.memoryBytes
      if (!fitBeside) {
        member.range = undefined
        this.#say(member)
        this.onChange()
      }
      this.#load(member, claim)
      return
    }
    if (attempts === 0) {
      this.#stay(member)
      return
    }
    this.clock.after(LEAVE_AGAIN_SECONDS, () => {
      if (this.#isHere(member)) this.#leaveOld(member, claim, attempts - 1)
    })
  }

  #stay(member: Member): void {
    this.#claim(member, undefined)
    this.#lookLater(member)
  }

  #claim(member: Member, claim: LayerRange | undefined): void {
    member.claim = claim
    this.#say(member)
  }

  #say({ node, range, claim }: Member): void {
    const { peer, layersPerSecond, memoryBytes } = node
    this.directory.say({ peer, layersPerSecond, memoryBytes, range, claim })
  }

  /** What is on the disk already is not fetched again. */
  #fetch(member: Member, to: LayerRange, done: (isFetched: boolean) => void, from = { start: 0, end: 0 }): void {
    const kept = Math.max(0, Math.min(from.end, to.end) - Math.max(from.start, to.start))
    const seconds = (to.end - to.start - kept) * member.node.fetchSeconds
    const fails = this.#parts.random.next() < FAILING_FETCHES
    this.clock.after(fails ? seconds / 2 : seconds, () => {
      if (this.#isHere(member)) done(!fails)
    })
  }

  #load(member: Member, range: LayerRange): void {
    this.clock.after((range.end - range.start) * LOAD_SECONDS, () => {
      if (!this.#isHere(member)) return
      member.range = range
      member.since = this.clock.now
      this.#claim(member, undefined)
      this.onChange()
      this.#lookLater(member)
    })
  }
}

function placed({ peer, layersPerSecond }: SimulatedNode, range: LayerRange): PlacedShard {
  return { peer, layersPerSecond, ...range }
}
