import { peerIdFromString } from '@libp2p/peer-id'
import { describe, expect, it } from 'vitest'
import { SwarmError } from '../../../node/swarm/errors.js'
import { Gate } from '../../../node/swarm/gate.js'
import { createIdentity } from '../../../node/swarm/identity.js'

const refused = new SwarmError('WRONG_SWARM', 'another swarm')

describe('Gate', () => {
  it('keeps a refused peer out for a while, in both directions', async () => {
    const clock = { now: 0 }
    const gate = new Gate({ now: () => clock.now })
    const { peer } = await createIdentity()
    const gater = gate.connectionGater()
    const id = peerIdFromString(peer)
    expect(gater.denyDialPeer?.(id)).toBe(false)
    gate.refuse(peer, refused)
    expect(gate.refusal(peer)).toBe(refused)
    expect(gater.denyDialPeer?.(id)).toBe(true)
    expect(gater.denyInboundEncryptedConnection?.(id, {} as never)).toBe(true)
    clock.now = 30_000
    expect(gate.refusal(peer)).toBeUndefined()
    expect(gater.denyDialPeer?.(id)).toBe(false)
  })

  it('lets only members reserve circuits and use them', async () => {
    const gate = new Gate({ now: () => 0 })
    const [member, other] = [await createIdentity(), await createIdentity()]
    gate.admit(member.peer)
    gate.refuse(other.peer, refused)
    const gater = gate.connectionGater()
    const [memberId, otherId] = [peerIdFromString(member.peer), peerIdFromString(other.peer)]
    expect(await gater.denyInboundRelayReservation?.(memberId)).toBe(false)
    expect(await gater.denyInboundRelayReservation?.(otherId)).toBe(true)
    expect(await gater.denyOutboundRelayedConnection?.(otherId, memberId)).toBe(true)
    expect(await gater.denyOutboundRelayedConnection?.(memberId, otherId)).toBe(true)
    gate.admit(other.peer)
    expect(await gater.denyOutboundRelayedConnection?.(otherId, memberId)).toBe(false)
  })

  it('waits a moment for the hello of who asks for a circuit', async () => {
    const gate = new Gate({ now: () => 0 })
    const { peer } = await createIdentity()
    const denied = gate.connectionGater().denyInboundRelayReservation?.(peerIdFromString(peer))
    gate.admit(peer)
    expect(await denied).toBe(false)
  })

  it('tells who waits for a hello how it went', async () => {
    const gate = new Gate({ now: () => 0 })
    const { signal } = new AbortController()
    const gone = new SwarmError('PEER_UNREACHABLE', 'gone')
    const outcomes = ['admitted', 'refused', 'dropped', 'closed'].map(peer => gate.member(peer, signal))
    const settled = Promise.allSettled([...outcomes, gate.member('late', AbortSignal.abort(new Error('late')))])
    gate.admit('admitted')
    gate.refuse('refused', refused)
    gate.drop('dropped', gone)
    gate.close(() => gone)
    const reasons = (await settled).map(
      outcome => (outcome.status === 'rejected' ? outcome.reason : undefined) as unknown
    )
    expect(reasons).toEqual([undefined, refused, gone, gone, new Error('late')])
    await expect(gate.member('admitted', signal)).resolves.toBeUndefined()
    await expect(gate.member('refused', signal)).rejects.toBe(refused)
  })

  it('is no member any more once refused, and no longer refused once admitted', () => {
    const gate = new Gate({ now: () => 0 })
    gate.admit('a')
    gate.refuse('a', refused)
    expect(gate.isMember('a')).toBe(false)
    gate.admit('a')
    expect(gate.refusal('a')).toBeUndefined()
  })

  it('remembers a bounded number of refusals', () => {
    const gate = new Gate({ now: () => 0 })
    for (let peer = 0; peer < 2000; peer++) gate.refuse(String(peer), refused)
    expect(gate.refusal('0')).toBeUndefined()
    expect(gate.refusal('1999')).toBe(refused)
  })

  it('keeps a banned peer out for as long as it is banned, member or not', async () => {
    const { peer } = await createIdentity()
    const id = peerIdFromString(peer)
    const banned = new Set<string>()
    const gate = new Gate({ now: () => 0, isBanned: other => banned.has(other) })
    gate.admit(peer)
    banned.add(peer)
    const gater = gate.connectionGater()
    expect([gate.isMember(peer), gate.refusal(peer)?.code]).toEqual([false, 'BANNED'])
    expect(gater.denyDialPeer?.(id)).toBe(true)
    expect(gater.denyInboundEncryptedConnection?.(id, {} as never)).toBe(true)
    expect(gater.denyOutboundEncryptedConnection?.(id, {} as never)).toBe(true)
    banned.clear()
    expect([gate.isMember(peer), gate.refusal(peer)]).toEqual([true, undefined])
  })
})
