import { describe, expect, it } from 'vitest'
import { merged } from '../../../node/gateway/merge.js'

async function* counting(from: number, to: number, onEnd?: () => void): AsyncGenerator<number> {
  try {
    for (let value = from; value < to; value++) yield await Promise.resolve(value)
  } finally {
    onEnd?.()
  }
}

async function* failing(): AsyncGenerator<number> {
  yield await Promise.resolve(1)
  throw new Error('broken')
}

describe('merged', () => {
  it('has what each source yields, in its order', async () => {
    const found: number[][] = [[], [], []]
    for await (const { index, value } of merged([counting(0, 3), counting(10, 15), counting(0, 0)])) {
      found[index]?.push(value)
    }
    expect(found).toEqual([[0, 1, 2], [10, 11, 12, 13, 14], []])
  })

  it('ends all sources when the reader leaves, and when one fails', async () => {
    let ended = 0
    for await (const { value } of merged([counting(0, 9, () => ended++), counting(0, 9, () => ended++)])) {
      if (value === 3) break
    }
    expect(ended).toBe(2)
    const reading = async (): Promise<void> => {
      for await (const { index } of merged([failing(), counting(0, 1_000, () => ended++)]))
        expect(index).toBeLessThan(2)
    }
    await expect(reading()).rejects.toThrow('broken')
    expect(ended).toBe(3)
  })
})
