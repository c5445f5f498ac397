import { describe, expect, it } from 'vitest'
import { messages } from './messages.js'
import { bytes, hex } from './samples.js'

/** What is on the wire, byte for byte. A change here is a change of the protocol and needs a new protocol id. */
const snapshots: Record<string, string> = {
  open: `0a5f0a10${'01'.repeat(16)}1220${'ab'.repeat(32)}180320062a20${'02'.repeat(32)}3002388010`,
  link:
    `125a0a0c313244334b6f6f575065657212142f6970342f3139322e302e322e312f7463702f311a20${'03'.repeat(32)}` +
    `2210${'04'.repeat(16)}2801`,
  'link that replays':
    `12640a0c313244334b6f6f575065657212142f6970342f3139322e302e322e312f7463702f311a20${'03'.repeat(32)}` +
    `2210${'04'.repeat(16)}28ac02320508800410013801`,
  'link to the origin': '12022801',
  'replayed, passed on': '2a020807',
  'step of tokens': '1a14080118032001320c0100000050c3000002000000',
  'step for an embedding': '1a1a080118032001320c0100000050c30000020000003a0408012801',
  close: '2200',
  rest: '3200',
  resume: '3a0308ac02',
  opened: '0a03088004',
  linked: '1200',
  forward:
    '2234080710ac021802200228023208003c00bc0040ff7b3a0c08011080011a0302ac022001420f0d0000003f15000050' + '401d00008040',
  result:
    '1a320807121d0a08050000000900000012080000c03f000000c01900000000000004401a0f0d0000003f15000050401d' + '00008040',
  'result with an embedding': '1a0e0807120a22080000003f000000c0',
  fault: '2a080809120466756c6c',
  'relay open': `0a340a10${'01'.repeat(16)}1220${'02'.repeat(32)}`,
  'relay step':
    '1234080710ac021802200228023208003c00bc0040ff7b3a0c08011080011a0302ac022001420f0d0000003f15000050' + '401d00008040',
  replayed: '32020807',
  unlinked: '3a070a057265736574',
  'caught up': '4200',
  resumed: '5200',
  drain: '4a0408b0ea01',
  'relay replay': '1217080710ac021802200228023208003c00bc0040ff7b4801',
  'relay replayed': '1a020807',
  'relay linked': '0a00',
  'relay fault': '12020806',
  hello: `0a10${'5a'.repeat(16)}120e666c616d626561752f302e312e30`,
  'hello reply': '081112026e6f1a0e666c616d626561752f302e312e30',
  'status request': '0a020102120103',
  'status reply': '0a020102120103',
  'pieces request': `0a20${'ab'.repeat(32)}1220${'ab'.repeat(32)}`,
  piece: `0a20${'ab'.repeat(32)}10011a04deadbeef`,
  manifest:
    '08011205656d6265721a056c6c616d6120082840308004388002420302040648802050205a2410641a20' +
    `${'ab'.repeat(32)}62620a13626c6b2e302e6174746e5f712e77656967687412024040180122451080401a40` +
    `${'ab'.repeat(64)}6a0a4170616368652d322e30`,
  'node record':
    `0a10${'5a'.repeat(16)}1100008056febc7842190000be9ffebc7842220561747469632a0e666c616d626561752f30` +
    '2e312e3030023a282f6970342f3139322e302e322e312f7463702f343135302f7032702f313244334b6f6f5750656572' +
    `42160a0363707512044550594318082100000000000000424a630a20${'ab'.repeat(32)}1205656d62657218082202` +
    '10082a1e100419fca9f1d24d62503f2003288040350000003f39fca9f1d24d62603f32056c6c616d613a030204064204' +
    '08041008480152130a0c313244334b6f6f5750656572150000803e5801'
}

describe('every message', () => {
  it('has a snapshot', () => {
    expect(Object.keys(snapshots)).toEqual(Object.keys(messages))
  })

  it.each(Object.entries(messages))('%s has the same bytes as ever', (name, { encode }) => {
    expect(hex(encode())).toBe(snapshots[name])
  })

  it.each(Object.entries(messages))('%s is read back from those bytes', (name, { decode, value }) => {
    expect(withoutBuffers(decode(bytes(snapshots[name] ?? '')))).toEqual(withoutBuffers(value))
  })
})

/** Byte fields as hex, so that a Buffer equals a Uint8Array with the same content. */
function withoutBuffers(value: unknown): unknown {
  if (value instanceof Uint8Array) return hex(value)
  if (ArrayBuffer.isView(value)) return value
  if (Array.isArray(value)) return value.map(withoutBuffers)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, withoutBuffers(entry)]))
}
