import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { flambeau } from '../../../protocol/generated/messages.js'
import { nodeRecordKey, peerOfRecordKey } from '../../../protocol/ids.js'
import { decodeNodeRecord, encodeNodeRecord, type NodeRecord } from '../../../protocol/node-record.js'
import type { ProtocolError } from '../../../protocol/protocol-error.js'
import { bytes, filled, record } from './samples.js'

const refused = (code: string): ProtocolError =>
  expect.objectContaining({ name: 'ProtocolError', code }) as ProtocolError

const [model = expect.fail('no model')] = record.models
const [shard = expect.fail('no shard')] = model.shards

function raw(wrong: object): Uint8Array {
  const fine = flambeau.NodeRecord.decode(encodeNodeRecord(record))
  return flambeau.NodeRecord.encode(Object.assign(fine, wrong)).finish()
}

function rawModel(wrong: object): Uint8Array {
  return raw({ models: [{ ...model, manifest: bytes(model.manifest), ...wrong }] })
}

const STATES = [
  [1, 'joining'],
  [2, 'online'],
  [3, 'draining'],
  [4, 'paused']
] as const

const moment = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER })
const printable = fc.string({ maxLength: 40 }).filter(text => !/\p{Cc}/u.test(text))

const records: fc.Arbitrary<NodeRecord> = fc.record({
  ...{ swarm: fc.constant(record.swarm), agent: fc.constant(record.agent) },
  ...{ addresses: fc.constant(record.addresses), models: fc.constant(record.models) },
  sequence: moment,
  expires: moment,
  name: printable,
  state: fc.constantFrom('joining', 'online', 'draining', 'paused'),
  hardware: fc.record({ backend: printable, device: printable, threads: fc.nat(65_536), memoryBytes: fc.maxSafeNat() }),
  latencies: fc.array(
    fc.record({
      peer: fc.stringMatching(/^[0-9A-Za-z]{1,60}$/),
      seconds: fc.float({ min: 0, max: 3600, noNaN: true }).map(Math.abs)
    }),
    { maxLength: 64 }
  ),
  relay: fc.boolean()
})

describe('a node record', () => {
  it('is read as it was written', () => {
    fc.assert(
      fc.property(records, value => {
        expect(decodeNodeRecord(encodeNodeRecord(value))).toEqual(value)
      })
    )
  })

  it.each(STATES)('says by the number %i that the node is %s', (number, state) => {
    expect(decodeNodeRecord(raw({ state: number })).state).toBe(state)
    expect(decodeNodeRecord(encodeNodeRecord({ ...record, state })).state).toBe(state)
  })

  it.each([
    ['a short swarm id', { swarm: filled(15, 1) }, 'MALFORMED'],
    ['no sequence', { sequence: 0 }, 'MALFORMED'],
    ['a sequence that is no number', { sequence: NaN }, 'MALFORMED'],
    ['a sequence of half a millisecond', { sequence: 1.5 }, 'MALFORMED'],
    ['an endless expiry', { expires: Infinity }, 'MALFORMED'],
    ['a long name', { name: 'n'.repeat(257) }, 'TOO_LARGE'],
    ['a name that drives a terminal', { name: '\u009b2J' }, 'MALFORMED'],
    ['no agent', { agent: '' }, 'MALFORMED'],
    ['no state', { state: 0 }, 'MALFORMED'],
    ['an unknown state', { state: 5 }, 'MALFORMED'],
    ['too many addresses', { addresses: Array<string>(17).fill('/ip4/1.2.3.4') }, 'TOO_LARGE'],
    ['negative memory', { hardware: { memoryBytes: -1 } }, 'MALFORMED'],
    ['too many models', { models: Array(33).fill({ ...model, manifest: filled(32, 1) }) }, 'TOO_LARGE'],
    ['a latency to nobody', { latencies: [{ peer: '', seconds: 1 }] }, 'MALFORMED'],
    ['a negative latency', { latencies: [{ peer: 'a', seconds: -1 }] }, 'MALFORMED'],
    ['an infinite latency', { latencies: [{ peer: 'a', seconds: Infinity }] }, 'NOT_FINITE'],
    ['too many latencies', { latencies: Array(65).fill({ peer: 'a', seconds: 1 }) }, 'TOO_LARGE']
  ])('with %s is refused', (_, wrong, code) => {
    expect(() => decodeNodeRecord(raw(wrong))).toThrow(refused(code))
  })

  it.each([
    ['a short manifest hash', { manifest: filled(31, 1) }, 'MALFORMED'],
    ['no name', { name: '' }, 'MALFORMED'],
    ['no layers', { layers: 0 }, 'MALFORMED'],
    ['cuts outside the model', { cuts: [8] }, 'MALFORMED'],
    ['an empty range of pieces', { pieces: [{ start: 3, end: 3 }] }, 'MALFORMED'],
    ['pieces beyond the model', { pieces: [{ start: 3, end: 9 }] }, 'TOO_LARGE'],
    ['a shard beyond the model', { shards: [{ ...shard, end: 9 }] }, 'TOO_LARGE'],
    ['a shard that is backwards', { shards: [{ ...shard, start: 4, end: 2 }] }, 'MALFORMED'],
    ['an empty claim', { claim: { start: 3, end: 3 } }, 'MALFORMED'],
    ['a claim beyond the model', { claim: { start: 3, end: 9 } }, 'TOO_LARGE'],
    ['a negative speed', { shards: [{ ...shard, secondsPerLayer: -1 }] }, 'MALFORMED'],
    ['a speed that is no number', { shards: [{ ...shard, secondsPerLayer: NaN }] }, 'NOT_FINITE'],
    ['a negative steady speed', { shards: [{ ...shard, steadySecondsPerLayer: -1 }] }, 'MALFORMED'],
    ['a negative queue', { shards: [{ ...shard, queue: -1 }] }, 'MALFORMED'],
    ['absurdly many sessions', { shards: [{ ...shard, freeSessions: 70_000 }] }, 'TOO_LARGE'],
    ['too many shards', { shards: Array(17).fill(shard) }, 'TOO_LARGE']
  ])('with a model with %s is refused', (_, wrong, code) => {
    expect(() => decodeNodeRecord(rawModel(wrong))).toThrow(refused(code))
  })

  it('has one speed where it does not tell the steady one apart', () => {
    const decoded = decodeNodeRecord(rawModel({ shards: [{ ...shard, steadySecondsPerLayer: 0 }] }))
    expect(decoded.models[0]?.shards[0]).toEqual({ ...shard, steadySecondsPerLayer: shard.secondsPerLayer })
  })

  it('above 16 KiB is neither written nor read', () => {
    const addresses = Array<string>(16).fill('a'.repeat(256))
    const models = Array(32).fill({
      ...model,
      name: 'n'.repeat(256),
      architecture: 'n'.repeat(256)
    }) as typeof record.models
    expect(() => encodeNodeRecord({ ...record, addresses, models })).toThrow(refused('TOO_LARGE'))
    expect(() => decodeNodeRecord(new Uint8Array(16_385))).toThrow(refused('TOO_LARGE'))
  })
})

describe('the key of a node record', () => {
  it('names its peer', () => {
    expect(peerOfRecordKey(nodeRecordKey('12D3KooWPeer'))).toBe('12D3KooWPeer')
    expect(peerOfRecordKey(bytes('2f706b2f61'))).toBeUndefined()
  })
})
