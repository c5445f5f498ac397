import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Lifecycle, type Component } from '../../../node/lifecycle.js'
import { createLogger } from '../../../node/logger.js'

const STOP_MS = 10_000

function bench() {
  const log: string[] = []
  const warn = vi.fn()
  const lifecycle = new Lifecycle({
    logger: Object.assign(createLogger({ level: 'silent', readable: false }), { warn })
  })
  const part = (name: string, changes: Partial<Component> = {}): Component => ({
    start: () => log.push(`start ${name}`),
    stop: () => log.push(`stop ${name}`),
    ...changes
  })
  return { log, warn, lifecycle, part }
}

describe('Lifecycle', () => {
  it('starts parts in order, each after the one before it, and stops them the other way round', async () => {
    const { lifecycle, log, part } = bench()
    const slow = async (): Promise<void> => {
      await Promise.resolve()
      log.push('start b')
    }
    await lifecycle.start([part('a'), part('b', { start: slow }), part('c')])
    expect(lifecycle.isOpen).toBe(true)
    await lifecycle.opened
    await Promise.all([lifecycle.stop(), lifecycle.stop()])
    await lifecycle.stop()
    await lifecycle.closed
    expect(log).toEqual(['start a', 'start b', 'start c', 'stop c', 'stop b', 'stop a'])
    expect(lifecycle.isOpen).toBe(false)
  })

  it('stops what it started, the failed part too, when one fails', async () => {
    const { lifecycle, log, part } = bench()
    const failing = part('b', { start: () => Promise.reject(new Error('the port is taken')) })
    await expect(lifecycle.start([part('a'), failing, part('c')])).rejects.toThrow('the port is taken')
    await Promise.all([lifecycle.opened, lifecycle.closed])
    expect(log).toEqual(['start a', 'stop b', 'stop a'])
    expect(lifecycle.isOpen).toBe(false)
  })

  it('starts nothing more once its signal aborts', async () => {
    const { lifecycle, log, part } = bench()
    const controller = new AbortController()
    const aborting = part('a', { start: () => controller.abort(new Error('interrupted')) })
    await expect(lifecycle.start([aborting, part('b')], { signal: controller.signal })).rejects.toThrow('interrupted')
    expect(log).toEqual(['stop a'])
  })

  it('starts nothing more, and leaves nothing running, when it is stopped while it starts', async () => {
    const { lifecycle, log, part } = bench()
    const gate = Promise.withResolvers<undefined>()
    const starting = lifecycle.start([part('a'), part('b', { start: () => gate.promise }), part('c')])
    await vi.waitFor(() => expect(log).toEqual(['start a']))
    const stopping = lifecycle.stop()
    gate.resolve(undefined)
    await expect(starting).rejects.toThrow('stopped while it started')
    await stopping
    expect(log).toEqual(['start a', 'stop b', 'stop a'])
    expect(lifecycle.isOpen).toBe(false)
  })

  it('is not open when it is stopped while its last part starts', async () => {
    const { lifecycle, log, part } = bench()
    const last = part('a', { start: () => void lifecycle.stop() })
    await expect(lifecycle.start([last])).rejects.toThrow('stopped while it started')
    expect([log, lifecycle.isOpen]).toEqual([['stop a'], false])
  })

  it('stops the others when one cannot stop, and never throws', async () => {
    const { lifecycle, log, warn, part } = bench()
    const throwing = part('b', {
      stop: () => {
        throw new Error('stuck')
      }
    })
    await lifecycle.start([part('a'), throwing, part('c', { stop: () => Promise.reject(new Error('broken')) })])
    await lifecycle.stop()
    expect(log.at(-1)).toBe('stop a')
    expect(warn.mock.calls.map(([fields]: unknown[]) => fields)).toEqual([{ reason: 'broken' }, { reason: 'stuck' }])
  })
})

describe('Lifecycle, with a part that hangs', () => {
  beforeEach(() => {
    vi.useFakeTimers()
  })
  afterEach(() => {
    vi.useRealTimers()
  })

  it('leaves it behind after a while', async () => {
    const { lifecycle, log, warn, part } = bench()
    await lifecycle.start([part('a'), part('b', { stop: () => new Promise(() => undefined) })])
    const stopping = lifecycle.stop()
    await vi.advanceTimersByTimeAsync(STOP_MS)
    await stopping
    expect(log.at(-1)).toBe('stop a')
    expect(warn).toHaveBeenCalledTimes(1)
    expect(vi.getTimerCount()).toBe(0)
  })
})
