import { RecordEnvelope } from '@libp2p/peer-record'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createIdentity } from '../../../node/swarm/identity.js'
import { hasExpired, openRecord } from '../../../node/swarm/record.js'
import { MAX_CLOCK_SKEW_MS } from '../../../protocol/limits.js'
import { encodeNodeRecord } from '../../../protocol/node-record.js'
import { envelope, nodeRecord, NOW, SWARM } from './records.js'

const rules = { swarm: SWARM, now: NOW }

describe('openRecord', () => {
  it('gives back the record and who signed it', async () => {
    const identity = await createIdentity()
    const sealed = await envelope({ name: 'mine' }, identity)
    expect(await openRecord(sealed, rules)).toEqual({
      peer: identity.peer,
      record: nodeRecord({ name: 'mine' }),
      envelope: sealed
    })
  })

  it('never reads anything else from an envelope in which a byte was changed', async () => {
    const identity = await createIdentity()
    const sealed = await envelope({}, identity)
    let accepted = 0
    for (let at = 0; at < sealed.byteLength; at++) {
      const forged = Uint8Array.from(sealed)
      forged[at] = (forged[at] ?? 0) ^ 1
      const opened = await openRecord(forged, rules).catch(() => undefined)
      if (opened === undefined) continue
      // Some bits of protobuf's tags mean nothing to its readers.
      accepted += 1
      expect({ ...opened, envelope: sealed }).toEqual({ peer: identity.peer, record: nodeRecord(), envelope: sealed })
    }
    expect(accepted).toBeLessThan(10)
  })

  it('refuses arbitrary bytes', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), async bytes => {
        await expect(openRecord(bytes, rules)).rejects.toMatchObject({ code: 'RECORD_FORGED' })
      })
    )
  })

  it('refuses a record of another swarm', async () => {
    const sealed = await envelope({ swarm: 'f'.repeat(32) })
    await expect(openRecord(sealed, rules)).rejects.toMatchObject({ code: 'RECORD_INVALID' })
  })

  it('refuses what was signed for another purpose', async () => {
    const { privateKey } = await createIdentity()
    const payload = encodeNodeRecord(nodeRecord())
    for (const [domain, codec, refusal] of [
      ['libp2p-peer-record', '/flambeau/node-record/1', 'RECORD_FORGED'],
      ['flambeau-node', '/flambeau/other/1', 'RECORD_INVALID']
    ] as const) {
      const sealed = await RecordEnvelope.seal(
        { domain, codec: new TextEncoder().encode(codec), marshal: () => payload, equals: () => false },
        privateKey
      )
      await expect(openRecord(sealed.marshal(), rules)).rejects.toMatchObject({ code: refusal })
    }
  })

  it('refuses an expired record, but allows for clocks that differ a little', async () => {
    const expires = NOW - MAX_CLOCK_SKEW_MS
    const late = await envelope({ sequence: expires - 1000, expires })
    expect(hasExpired((await openRecord(late, rules)).record, NOW)).toBe(false)
    const expired = await envelope({ sequence: expires - 1000, expires: expires - 1 })
    await expect(openRecord(expired, rules)).rejects.toMatchObject({ code: 'RECORD_EXPIRED' })
  })

  it('refuses a record that would live for too long or comes from the future', async () => {
    for (const changes of [{ expires: NOW + 3_600_000 }, { sequence: NOW + 3_600_000 }]) {
      await expect(openRecord(await envelope(changes), rules)).rejects.toMatchObject({ code: 'RECORD_INVALID' })
    }
  })

  it('refuses an envelope above the limit before it looks inside', async () => {
    await expect(openRecord(new Uint8Array(16 * 1024 + 1), rules)).rejects.toMatchObject({ code: 'RECORD_INVALID' })
  })
})
