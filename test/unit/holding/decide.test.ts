import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { describe, expect, it } from 'vitest'
import { decideOnThread } from '../../../node/holding/decide.js'
import { rebalance } from '../../../node/scheduler/rebalance.js'
import type { RebalanceRequest } from '../../../node/scheduler/types.js'
import { modelOf } from '../../simulate/scenario.js'
import { PROJECT_ROOT } from '../../support/models.js'

const THREAD = pathToFileURL(join(PROJECT_ROOT, 'dist', 'node', 'holding', 'decide-thread.js'))
const LAYERS = 4

/** Two nodes hold the first half, and a third one alone the second: one of the two should leave. */
const request: RebalanceRequest = {
  ...modelOf({ layers: LAYERS }),
  ...{ peer: 'a', range: { start: 0, end: 2 }, memoryBytes: 2, layersPerSecond: 100, servedSeconds: 36_000 },
  served: [
    { peer: 'b', start: 0, end: 2, layersPerSecond: 150 },
    { peer: 'c', start: 2, end: 4, layersPerSecond: 100 }
  ],
  claims: []
}

function scriptOf(code: string): URL {
  return new URL(`data:text/javascript,${encodeURIComponent(code)}`)
}

describe('a decision on a thread', () => {
  const never = new AbortController().signal

  it('is the one that the scheduler makes', async () => {
    const decided = await decideOnThread(THREAD, request, never)
    expect(decided).toEqual(rebalance(request))
    expect(decided).toEqual({ kind: 'move', start: 2, end: 4 })
  })

  it('fails with what the thread throws, and when it ends without an answer', async () => {
    const throwing = scriptOf('throw new RangeError("no layers")')
    await expect(decideOnThread(throwing, request, never)).rejects.toThrow(new RangeError('no layers'))
    await expect(decideOnThread(scriptOf('process.exit(3)'), request, never)).rejects.toThrow('ended with 3')
  })

  it('is not waited for once the node stops', async () => {
    const stop = new AbortController()
    const decided = decideOnThread(scriptOf('setInterval(() => undefined, 1000)'), request, stop.signal)
    stop.abort(new Error('the node stops'))
    await expect(decided).rejects.toThrow('the node stops')
    await expect(decideOnThread(THREAD, request, stop.signal)).rejects.toThrow('the node stops')
  })
})
