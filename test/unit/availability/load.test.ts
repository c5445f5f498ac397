import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, writeFile } from 'node:fs/promises'
import fc from 'fast-check'
import { afterEach, describe, expect, it, vi } from 'vitest'
import {
  BUSY_MS,
  BUSY_SHARE,
  LONGEST_LOOK_MS,
  LOOK_MS,
  QUIET_MS,
  QUIET_SHARE
} from '../../../node/availability/constants.js'
import { othersShare, readCpu, type CpuReading } from '../../../node/availability/cpu.js'
import { busiest, readGpu } from '../../../node/availability/gpu.js'
import { Load, type LoadParts } from '../../../node/availability/load.js'
import { NOT_YIELDING, yieldingAfter, type Yielding } from '../../../node/availability/yielding.js'
import { temporaryFolder } from '../../support/temporary.js'
import { waitFor } from '../../support/wait-for.js'

const BUSY = BUSY_SHARE + 0.1
const BETWEEN = (BUSY_SHARE + QUIET_SHARE) / 2
const QUIET = QUIET_SHARE - 0.1

/** One measurement each few seconds. */
function measure(shares: readonly (number | undefined)[], start: Yielding = NOT_YIELDING): Yielding {
  return shares.reduce((before, share, i) => yieldingAfter(before, i * LOOK_MS, share), start)
}

const lasting = (share: number | undefined, milliseconds: number): (number | undefined)[] =>
  Array.from({ length: milliseconds / LOOK_MS }, () => share)

describe('yielding', () => {
  it('begins when others are busy for long enough, and not before', () => {
    expect(measure(lasting(BUSY, BUSY_MS)).busy).toBe(false)
    expect(measure(lasting(BUSY, BUSY_MS + LOOK_MS)).busy).toBe(true)
  })

  it.each([
    ['less', BETWEEN],
    ['unseen', undefined]
  ])('begins its count again when the load is %s in between', (_what, share) => {
    expect(measure([...lasting(BUSY, BUSY_MS), share, ...lasting(BUSY, BUSY_MS)]).busy).toBe(false)
  })

  it('ends after a longer quiet, and not in between', () => {
    const busy = { busy: true, since: undefined }
    expect(measure(lasting(BETWEEN, 2 * QUIET_MS), busy).busy).toBe(true)
    expect(measure(lasting(QUIET, QUIET_MS), busy).busy).toBe(true)
    expect(measure(lasting(QUIET, QUIET_MS + LOOK_MS), busy).busy).toBe(false)
  })

  it('does not flap, whatever the load', () => {
    fc.assert(
      fc.property(fc.array(fc.option(fc.double({ min: 0, max: 1, noNaN: true }), { nil: undefined })), shares => {
        let yielding = NOT_YIELDING
        let changed = -Infinity
        for (const [i, share] of shares.entries()) {
          const next = yieldingAfter(yielding, i * LOOK_MS, share)
          if (next.busy !== yielding.busy) {
            expect(i * LOOK_MS - changed).toBeGreaterThan(next.busy ? BUSY_MS : QUIET_MS)
            changed = i * LOOK_MS
          }
          yielding = next
        }
      })
    )
  })
})

const reading = (changes: Partial<CpuReading> = {}): CpuReading => ({
  ...{ at: 0, processors: 4, busyMs: 0, ownMs: 0, seesChildren: true },
  ...changes
})

describe('what others use of the processors', () => {
  it.each([
    ['nothing of it is ours', { at: 1_000, busyMs: 3_000 }, 0.75],
    ['a part of it is ours', { at: 1_000, busyMs: 3_000, ownMs: 1_000 }, 0.5],
    ['ours is counted a little later', { at: 1_000, busyMs: 1_000, ownMs: 1_010 }, 0],
    ['counters are coarse', { at: 1_000, busyMs: 4_100 }, 1]
  ])('is right where %s', (_what, now, share) => {
    expect(othersShare(reading(), reading(now), true)).toBe(share)
  })

  it('is not known where the system names no processors', () => {
    expect(othersShare(reading(), reading({ at: 1_000, processors: 0 }), false)).toBeUndefined()
  })

  it('is not known after the machine has slept', () => {
    expect(othersShare(reading(), reading({ at: LONGEST_LOOK_MS + 1, busyMs: 1 }), false)).toBeUndefined()
  })

  it('is known without the children’s time only while they compute nothing', () => {
    const now = reading({ at: 1_000, busyMs: 2_000, seesChildren: false })
    expect(othersShare(reading({ seesChildren: false }), now, true)).toBeUndefined()
    expect(othersShare(reading({ seesChildren: false }), now, false)).toBe(0.5)
  })

  it.runIf(process.platform === 'linux')(
    'leaves out a child of a child, while it runs and when it is over',
    async () => {
      const spin = 'const end = Date.now() + 600; while (Date.now() < end);'
      const script = `require('node:child_process').spawnSync(process.execPath, ['-e', ${JSON.stringify(spin)}])`
      const before = readCpu()
      const child = spawn(process.execPath, ['-e', script], { stdio: 'ignore' })
      const exited = once(child, 'exit')
      await waitFor(() => readCpu().ownMs - before.ownMs > 200, { what: 'the time of the child' })
      await exited
      const after = readCpu()
      expect(after.seesChildren).toBe(true)
      expect(after.ownMs - before.ownMs).toBeGreaterThan(200)
      expect(after.busyMs).toBeGreaterThan(before.busyMs)
    }
  )
})

describe('what a GPU says', () => {
  it.each([
    ['12\n', 0.12],
    ['0\n97\n', 0.97],
    ['[N/A]\n8\n', 0.08],
    ['[Not Supported]\n', undefined],
    ['NVIDIA-SMI has failed', undefined],
    ['', undefined]
  ])('in %j is %s', (output, share) => {
    expect(busiest(output)).toBe(share)
  })

  const path = process.env['PATH']
  afterEach(() => {
    process.env['PATH'] = path
  })

  it.runIf(process.platform !== 'win32')('is asked of its own program, and nothing where there is none', async () => {
    await using folder = await temporaryFolder()
    process.env['PATH'] = folder.path
    expect(await readGpu()).toBeUndefined()
    const script = '#!/bin/sh\n[ "$1" = --query-gpu=utilization.gpu ] && echo 42\n'
    await writeFile(folder.file('nvidia-smi'), script)
    await chmod(folder.file('nvidia-smi'), 0o755)
    expect(await readGpu()).toBe(0.42)
  })
})

describe('the load of the machine', () => {
  function bench(changes: Partial<LoadParts> = {}) {
    let reads = 0
    // Half of the processors, at each reading.
    const readCpu = (): CpuReading => reading({ at: ++reads * 1_000, busyMs: reads * 2_000 })
    const readGpu = vi.fn(() => Promise.resolve<number | undefined>(0.9))
    const load = new Load({ readCpu, readGpu, computing: () => false, usesGpu: () => true, ...changes })
    return { load, readGpu }
  }

  it('is what the busier of processors and GPU says', async () => {
    const { load, readGpu } = bench()
    expect(await load.measure()).toBe(0.9)
    readGpu.mockResolvedValue(0.1)
    expect(await load.measure()).toBe(0.5)
    readGpu.mockResolvedValue(undefined)
    expect(await load.measure()).toBe(0.5)
  })

  it('is not known from one reading of the processors', async () => {
    const { load } = bench({ usesGpu: () => false })
    expect(await load.measure()).toBeUndefined()
    expect(await load.measure()).toBe(0.5)
  })

  it('does not ask a GPU that this node does not use, or computes on', async () => {
    for (const changes of [{ usesGpu: () => false }, { computing: () => true }]) {
      const { load, readGpu } = bench(changes)
      await load.measure()
      expect(await load.measure()).toBe(0.5)
      expect(readGpu).not.toHaveBeenCalled()
    }
  })

  it('pays no heed to a GPU on which this node began to compute meanwhile', async () => {
    let computing = false
    const { load, readGpu } = bench({ computing: () => computing })
    readGpu.mockImplementation(() => {
      computing = true
      return Promise.resolve(0.9)
    })
    expect(await load.measure()).toBeUndefined()
  })
})
