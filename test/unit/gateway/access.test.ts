import { describe, expect, it } from 'vitest'
import { Access, preflightHeaders } from '../../../node/gateway/access.js'

const CHAT = 'https://chat.example.org'
const access = new Access({ host: '127.0.0.1', origins: [CHAT] })
const code = (value: string): Error => expect.objectContaining({ code: value }) as Error

describe('who may use the gateway', () => {
  it.each(['127.0.0.1:27471', 'localhost:27471', 'LOCALHOST', '[::1]:80'])('is who calls it %s', host => {
    expect(access.check({ host })).toEqual({})
    expect(access.check({ host, origin: `http://${host}` })).toEqual({})
  })

  it.each(['evil.example', 'evil.example:27471', '127.0.0.1.evil.example', 'localhost:evil', '', undefined])(
    'is not who calls it %s: a name that was made to point here',
    host => {
      expect(() => access.check({ host })).toThrow(code('WRONG_HOST'))
    }
  )

  it('is a page of an origin that the owner allows, and no other page', () => {
    const host = '127.0.0.1:27471'
    expect(access.check({ host, origin: CHAT })).toEqual({ 'access-control-allow-origin': CHAT, vary: 'Origin' })
    for (const origin of ['https://evil.example', `${CHAT}.evil.example`, 'null', 'http://localhost:1', '']) {
      expect(() => access.check({ host, origin })).toThrow(code('FOREIGN_ORIGIN'))
    }
  })

  it('is told so before it asks', () => {
    expect(preflightHeaders('content-type')).toMatchObject({ 'access-control-allow-headers': 'content-type' })
    expect(preflightHeaders(undefined)).not.toHaveProperty('access-control-allow-headers')
  })
})
