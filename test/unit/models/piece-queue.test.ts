import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { PieceQueue, type WantedPiece } from '../../../node/models/piece-queue.js'

const pieces = (count: number): WantedPiece[] =>
  Array.from({ length: count }, (_, i) => ({ hash: `piece ${i}`, size: 1, tensors: [`tensor ${i % 3}`] }))

const everything = (): boolean => true

describe('PieceQueue', () => {
  it('gives each piece to one peer at a time', () => {
    const queue = new PieceQueue(pieces(5))
    expect(queue.take('a', everything, 3)).toHaveLength(3)
    const second = queue.take('b', everything, 3)
    expect(second.map(({ hash }) => hash)).toEqual(['piece 3', 'piece 4'])
    expect(queue.take('c', everything, 3)).toEqual([])
  })

  it('gives a peer only what it may have', () => {
    const queue = new PieceQueue(pieces(6))
    const has = ({ tensors }: WantedPiece): boolean => tensors.includes('tensor 1')
    expect(queue.take('a', has, 10).map(({ hash }) => hash)).toEqual(['piece 1', 'piece 4'])
    expect(queue.wants('a', has)).toBe(false)
    expect(queue.wants('b', everything)).toBe(true)
  })

  it('offers a refused piece to others only', () => {
    const queue = new PieceQueue(pieces(1))
    for (const piece of queue.take('a', everything, 1)) queue.refuse(piece, 'a')
    expect(queue.take('a', everything, 1)).toEqual([])
    expect(queue.take('b', everything, 1)).toHaveLength(1)
  })

  it('loses no piece and finishes none twice, whatever the peers do', () => {
    const step = fc.record({
      peer: fc.constantFrom('a', 'b', 'c'),
      most: fc.integer({ min: 1, max: 4 }),
      end: fc.constantFrom('done', 'release', 'refuse')
    })
    const property = fc.property(fc.integer({ min: 1, max: 12 }), fc.array(step), (count, steps) => {
      const queue = new PieceQueue(pieces(count))
      const done = new Set<string>()
      for (const { peer, most, end } of steps) {
        for (const piece of queue.take(peer, everything, most)) {
          expect(done.has(piece.hash)).toBe(false)
          if (end === 'done') {
            queue.done(piece)
            done.add(piece.hash)
          } else if (end === 'release') queue.release(piece)
          else queue.refuse(piece, peer)
        }
        expect(queue.missing().length + done.size).toBe(count)
      }
      expect(queue.finished).toBe(done.size === count)
    })
    fc.assert(property)
  })
})
