import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { flambeau } from '../../../protocol/generated/messages.js'
import { encodeInvitation, InvitationError, parseInvitation } from '../../../protocol/invitation.js'
import { bytes, filled, hex, SWARM } from './samples.js'

const refused = (code: string): InvitationError =>
  expect.objectContaining({ name: 'InvitationError', code }) as InvitationError

const invitation = {
  name: 'attic',
  swarm: SWARM,
  addresses: ['/ip4/192.0.2.1/tcp/4150/p2p/12D3KooWPeer'],
  key: undefined
}
const closed = { ...invitation, key: filled(32, 9) }

function sealed(message: Uint8Array): string {
  const checksum = createHash('sha256').update(message).digest().subarray(0, 4)
  return `flambeau:${Buffer.concat([message, checksum]).toString('base64url')}`
}

describe('an invitation', () => {
  it('is one line that has the same bytes as ever', () => {
    expect(encodeInvitation(invitation)).toBe(
      'flambeau:CAESBWF0dGljGhBaWlpaWlpaWlpaWlpaWlpaIigvaXA0LzE5Mi4wLjIuMS90Y3AvNDE1MC9wMnAvMTJEM0tvb1dQZWVyx2YA8A'
    )
  })

  it('to an open or a closed swarm is read as it was written', () => {
    expect(parseInvitation(encodeInvitation(invitation))).toEqual(invitation)
    const { key, ...rest } = parseInvitation(encodeInvitation(closed))
    expect({ ...rest, key: hex(key ?? filled(0, 0)) }).toEqual({ ...closed, key: hex(closed.key) })
  })

  it('survives line breaks, spaces and quotes from a mail or a chat', () => {
    const text = encodeInvitation(closed)
    const pasted = `\n  > "${text.slice(0, 40)}\r\n> ${text.slice(40, 90)} \u200b${text.slice(90)}"\n`
    expect(parseInvitation(pasted).swarm).toBe(SWARM)
  })

  it.each(['', 'hello', '/ip4/192.0.2.1/tcp/4150', 'flambeau', 'https://example.org/flambeau:'])('is not %j', text => {
    expect(() => parseInvitation(text)).toThrow(refused('NOT_AN_INVITATION'))
  })

  it('is damaged when any character is lost or changed', () => {
    const text = encodeInvitation(closed)
    fc.assert(
      fc.property(fc.integer({ min: 9, max: text.length - 1 }), fc.constantFrom('', 'A', 'z', '_'), (at, other) => {
        fc.pre(text[at] !== other)
        expect(() => parseInvitation(text.slice(0, at) + other + text.slice(at + 1))).toThrow(
          refused('INVITATION_DAMAGED')
        )
      })
    )
    expect(() => parseInvitation('flambeau:')).toThrow(refused('INVITATION_DAMAGED'))
    expect(() => parseInvitation(`${text}${'A'.repeat(20_000)}`)).toThrow(refused('INVITATION_DAMAGED'))
  })

  it('of another version says which one', () => {
    const message = flambeau.Invitation.encode({ version: 7, name: 'attic' }).finish()
    expect(() => parseInvitation(sealed(message))).toThrow(refused('INVITATION_VERSION'))
    expect(() => parseInvitation(sealed(message))).toThrow(/version 7 .* version 1/)
  })

  it.each([
    ['is not a message', bytes('ffff')],
    ['has no swarm', flambeau.Invitation.encode({ version: 1, name: 'a' }).finish()],
    [
      'has half a key',
      flambeau.Invitation.encode({ version: 1, name: 'a', swarm: bytes(SWARM), key: filled(16, 1) }).finish()
    ]
  ])('that %s is damaged although its checksum is right', (_, message) => {
    expect(() => parseInvitation(sealed(message))).toThrow(refused('INVITATION_DAMAGED'))
  })

  it('never fails with anything but its own error', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.uint8Array().map(sealed)), text => {
        try {
          parseInvitation(text)
        } catch (error) {
          expect(error).toBeInstanceOf(InvitationError)
        }
      })
    )
  })
})
