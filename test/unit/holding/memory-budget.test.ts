import { describe, expect, it } from 'vitest'
import type { EngineInfo } from '../../../node/engine/types.js'
import { MemoryBudget } from '../../../node/holding/memory-budget.js'

const device = (memoryFree: number) => ({ name: 'x', description: 'x', memoryTotal: 100, memoryFree })
const settings = { freeBytes: 1_000, share: (free: number) => free / 2 }

describe('MemoryBudget', () => {
  it('is a share of the machine where the CPU computes', () => {
    const info: EngineInfo = { backend: 'cpu', version: '', devices: [device(7)] }
    expect(new MemoryBudget({ engine: { info } }, settings).bytes).toBe(500)
  })

  it('is a share of what the GPUs have free, before anything is loaded', () => {
    const engine: { info: EngineInfo | undefined } = { info: undefined }
    const memory = new MemoryBudget({ engine }, settings)
    expect(memory.bytes).toBe(500)
    engine.info = { backend: 'cuda', version: '', devices: [device(60), device(40)] }
    expect(memory.bytes).toBe(50)
    engine.info = { backend: 'cuda', version: '', devices: [device(1)] }
    expect(memory.bytes).toBe(50)
  })
})
