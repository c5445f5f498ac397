import { beforeEach, describe, expect, it } from 'vitest'
import { Patience } from '../../../node/holding/patience.js'
import type { LayerRange } from '../../../node/models/types.js'
import type { PlacedNode, PlacedShard } from '../../../node/scheduler/types.js'

const HOUR = 3_600_000
const HALF = { start: 0, end: 4 }
const OTHER_HALF = { start: 4, end: 8 }

let now: number
let patience: Patience

beforeEach(() => {
  now = 0
  patience = new Patience({ now: () => now })
})

const node = (peer: string, range: LayerRange = HALF): PlacedNode => ({
  peer,
  ...range,
  layersPerSecond: 100,
  memoryBytes: 1e9
})

const claim = (peer: string, range: LayerRange = OTHER_HALF): PlacedShard => ({ peer, ...range, layersPerSecond: 100 })

const staying = (served: PlacedNode): PlacedNode => ({ ...served, memoryBytes: undefined })

/** What a node that serves the first half makes of what others serve and claim. */
function judged(served: PlacedNode[], claims: PlacedShard[] = []) {
  const found = patience.judged({ layers: 8, served, claims }, HALF)
  return { served: found.served, claims: found.claims }
}

describe('Patience', () => {
  it('takes those whose moves have been due for a day and a half as staying, until they serve something else', () => {
    const served = [node('due'), node('other', OTHER_HALF)] as const
    patience.waitFor(['due'], { served })
    now = 20 * HOUR
    patience.waitFor(['due', 'other'], { served })
    now = 36 * HOUR - 1
    expect(judged([...served]).served).toEqual(served)
    now = 36 * HOUR
    expect(judged([...served]).served).toEqual([staying(served[0]), served[1]])
    const moved = [node('due', { start: 2, end: 6 }), served[1]]
    expect(judged(moved).served).toEqual(moved)
    expect(judged([...served]).served).toEqual(served)
  })

  it('believes no claim that has kept it waiting for a day and a half, and takes the peer as staying', () => {
    const [served, claims] = [
      [node('a'), node('b', OTHER_HALF)],
      [claim('a'), claim('joining')]
    ]
    patience.waitFor(['a', 'joining'], { served })
    now = 36 * HOUR - 1
    expect(judged(served, claims)).toEqual({ served, claims })
    now = 36 * HOUR
    expect(judged(served, claims)).toEqual({ served: [staying(node('a')), node('b', OTHER_HALF)], claims: [] })
    // Who serves nothing is forgotten when it claims nothing.
    judged(served, [claim('a')])
    expect(judged(served, claims).claims).toEqual([claim('joining')])
  })

  it('leaves layers that nobody serves for an hour to somebody who claims them', () => {
    const claims = [claim('a'), claim('b', HALF)]
    patience.waitFor(['a', 'b'], { served: [node('a')] })
    now = HOUR - 1
    expect(judged([node('a')], claims)).toEqual({ served: [node('a')], claims })
    now = HOUR
    expect(judged([node('a')], claims)).toEqual({ served: [node('a')], claims: [claim('b', HALF)] })
    // They are served again: the claim may take its time.
    const closed = [node('a'), node('c', OTHER_HALF)]
    expect(judged(closed, claims)).toEqual({ served: closed, claims })
  })

  it('counts only the time for which it waited, and all of it', () => {
    const served = [node('a'), node('b', OTHER_HALF)]
    patience.waitFor(['a'], { served })
    now = 20 * HOUR
    patience.waitFor([], { served })
    now = 200 * HOUR
    expect(judged(served, [claim('a')]).claims).toEqual([claim('a')])
    patience.waitFor(['a'], { served })
    now = 216 * HOUR - 1
    expect(judged(served, [claim('a')]).claims).toEqual([claim('a')])
    now = 216 * HOUR
    expect(judged(served, [claim('a')]).claims).toEqual([])
  })
})
