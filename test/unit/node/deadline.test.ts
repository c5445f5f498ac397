import { getEventListeners } from 'node:events'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { abortable, deadline, delay } from '../../../node/deadline.js'

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
})

const listeners = ({ signal }: AbortController): number => getEventListeners(signal, 'abort').length

describe('deadline', () => {
  it('aborts after its time with an error that says what took so long', () => {
    using limit = deadline('dialling', 500)
    vi.advanceTimersByTime(499)
    expect(limit.signal.aborted).toBe(false)
    vi.advanceTimersByTime(1)
    expect(limit.signal.reason).toMatchObject({
      code: 'DEADLINE',
      message: 'dialling took longer than 500 ms',
      details: { what: 'dialling', milliseconds: 500 }
    })
  })

  it('aborts with its parent, for the same reason, also one that has aborted before', () => {
    const parent = new AbortController()
    using limit = deadline('waiting', 500, parent.signal)
    const reason = new Error('enough')
    parent.abort(reason)
    using late = deadline('waiting', 500, parent.signal)
    expect([limit.signal.reason, late.signal.reason]).toEqual([reason, reason])
  })

  it('leaves neither a timer nor a listener on its parent', () => {
    const parent = new AbortController()
    for (let n = 0; n < 20; n++) {
      using limit = deadline('waiting', 500, parent.signal)
      expect([limit.signal.aborted, listeners(parent)]).toEqual([false, 1])
    }
    expect([vi.getTimerCount(), listeners(parent)]).toEqual([0, 0])
  })
})

describe('delay', () => {
  it('ends after its time, or with the signal, and leaves no timer', async () => {
    vi.useFakeTimers()
    const controller = new AbortController()
    const waiting = delay(500, controller.signal)
    await vi.advanceTimersByTimeAsync(500)
    await waiting
    const aborted = delay(500, controller.signal)
    controller.abort(new Error('enough'))
    await expect(aborted).rejects.toThrow('enough')
    expect(vi.getTimerCount()).toBe(0)
    vi.useRealTimers()
  })
})

describe('abortable', () => {
  it('gives what the promise gives, and leaves no listener', async () => {
    const controller = new AbortController()
    expect(await abortable(Promise.resolve(7), controller.signal)).toBe(7)
    await expect(abortable(Promise.reject(new Error('no')), controller.signal)).rejects.toThrow('no')
    expect(listeners(controller)).toBe(0)
  })

  it('rejects when the signal aborts, before or meanwhile, whatever becomes of the promise', async () => {
    const controller = new AbortController()
    const { promise, reject } = Promise.withResolvers<never>()
    const waiting = abortable(promise, controller.signal)
    controller.abort(new Error('enough'))
    await expect(waiting).rejects.toThrow('enough')
    await expect(abortable(promise, controller.signal)).rejects.toThrow('enough')
    reject(new Error('too late to matter'))
  })
})
