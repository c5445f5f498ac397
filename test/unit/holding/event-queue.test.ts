import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { EventQueue } from '../../../node/holding/event-queue.js'

async function read<T>(queue: AsyncIterable<T>): Promise<T[]> {
  const events: T[] = []
  for await (const event of queue) events.push(event)
  return events
}

describe('EventQueue', () => {
  it('gives the reader every event in order, whenever it is pushed', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(fc.nat(), fc.boolean()), { maxLength: 50 }), async events => {
        const queue = new EventQueue<number>()
        const reading = read(queue)
        for (const [event, pause] of events) {
          queue.push(event)
          if (pause) await Promise.resolve()
        }
        queue.end()
        expect(await reading).toEqual(events.map(([event]) => event))
      })
    )
  })

  it('gives what was pushed before an error, then the error', async () => {
    const queue = new EventQueue<number>()
    queue.push(1)
    queue.fail('no more')
    queue.end()
    const events: number[] = []
    const reading = async (): Promise<void> => {
      for await (const event of queue) events.push(event)
    }
    await expect(reading()).rejects.toThrow('no more')
    expect(events).toEqual([1])
  })

  it('keeps the newest events for a reader that does not come', async () => {
    const queue = new EventQueue<number>()
    for (let event = 0; event < 3_000; event++) queue.push(event)
    queue.end()
    const events = await read(queue)
    expect(events).toHaveLength(1_024)
    expect(events.at(-1)).toBe(2_999)
  })
})
