import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { holdersOf, isComplete, LAYERS, LAYOUT, ORIGIN, victim } from '../../chaos/layout.js'
import { schedule, schedules } from '../../chaos/schedule.js'

const seeds = fc.integer({ min: 0, max: 2 ** 31 })
const everybody = [...LAYOUT.keys()]

describe('schedules of a chaos run', () => {
  it('are the same for the same seed, whichever of them are made', () => {
    fc.assert(
      fc.property(seeds, fc.integer({ min: 0, max: 300 }), (seed, number) => {
        expect(schedule(seed, number)).toEqual(schedules(seed, number + 1)[number])
      }),
      { numRuns: 20 }
    )
  })

  it('hold all blows, fates and numbers of answers', () => {
    const made = schedules(1, 200)
    const blows = made.flatMap(({ disturbances }) =>
      disturbances.map(({ act }) => ('blow' in act ? `${act.do} ${act.blow}` : act.do))
    )
    expect([...new Set(blows)].sort()).toEqual([
      ...['black-out isolate', 'black-out kill', 'cut', 'restore', 'strike drain', 'strike freeze', 'strike isolate'],
      ...['strike kill', 'strike kill-engine', 'strike leave', 'strike pause']
    ])
    expect(new Set(made.map(({ fate }) => fate))).toEqual(new Set(['completes', 'waits', 'lost']))
    expect(new Set(made.map(({ answers }) => answers.length))).toEqual(new Set([1, 2, 3]))
  })

  it('disturb answers that are asked for, before these end, and undo what was done before', () => {
    fc.assert(
      fc.property(seeds, seed => {
        const { answers, disturbances } = schedule(seed, 0)
        for (const [i, { answer, share, act }] of disturbances.entries()) {
          expect(answers[answer]).toBeDefined()
          expect(share).toBeLessThan(1)
          if (act.do === 'restore') expect(act.of).toBeLessThan(i)
        }
      })
    )
  })

  it('take every holder of a layer away when they say so', () => {
    fc.assert(
      fc.property(seeds, seed => {
        const { disturbances, originServes } = schedule(seed, 0)
        const act = disturbances[0]?.act
        fc.pre(act?.do === 'black-out')
        const gone = holdersOf(act.layer)
        const left = everybody.filter(node => !gone.includes(node) && (node !== ORIGIN || originServes))
        expect(isComplete(left)).toBe(false)
        if (originServes) expect(gone).not.toContain(ORIGIN)
      })
    )
  })
})

describe('the victim of a blow', () => {
  it('is never the origin, nor one without whom nobody could answer', () => {
    fc.assert(
      fc.property(fc.subarray(everybody), fc.constantFrom(...everybody), (living, preferred) => {
        const node = victim(preferred, living)
        const spared = living.filter(one => one !== ORIGIN && isComplete(living.filter(other => other !== one)))
        expect(node).toBe(spared.includes(preferred) ? preferred : spared[0])
      })
    )
  })

  it('leaves enough at first, with the origin or without it', () => {
    for (const living of [everybody, everybody.slice(1)]) {
      expect(isComplete(living)).toBe(true)
      for (const node of everybody.slice(1)) expect(victim(node, living)).toBe(node)
    }
    expect(isComplete([1, 3])).toBe(false)
    expect(isComplete([1, 7])).toBe(true)
    expect(isComplete([3, 5])).toBe(false)
    expect(LAYOUT.every(({ end }) => end <= LAYERS)).toBe(true)
  })
})
