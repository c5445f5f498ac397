import { describe, expect, it } from 'vitest'
import { Notices } from '../../../node/pipeline/notices.js'

async function collect<N, T>(events: AsyncGenerator<N, T>): Promise<{ notices: N[]; value: T }> {
  const notices: N[] = []
  for (;;) {
    const next = await events.next()
    if (next.done === true) return { notices, value: next.value }
    notices.push(next.value)
  }
}

describe('notices', () => {
  it('are told while something is waited for, and in order', async () => {
    const notices = new Notices<string>()
    const { promise, resolve } = Promise.withResolvers<number>()
    notices.push('before')
    const collected = collect(notices.until(promise))
    await Promise.resolve()
    notices.push('during')
    setImmediate(() => {
      notices.push('at the end')
      resolve(7)
    })
    expect(await collected).toEqual({ notices: ['before', 'during', 'at the end'], value: 7 })
  })

  it('do not hide an error', async () => {
    const notices = new Notices<string>()
    notices.push('first')
    const events = notices.until(Promise.reject(new Error('no')))
    expect((await events.next()).value).toBe('first')
    await expect(events.next()).rejects.toThrow('no')
  })

  it('are bounded: the oldest are lost', async () => {
    const notices = new Notices<number>()
    for (let i = 0; i < 1_000; i++) notices.push(i)
    const { notices: told } = await collect(notices.until(Promise.resolve(1)))
    expect(told.length).toBeLessThan(100)
    expect(told.at(-1)).toBe(999)
  })
})
