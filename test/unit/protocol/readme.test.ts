import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { flambeau } from '../../../protocol/generated/messages.js'
import * as ids from '../../../protocol/ids.js'
import * as limits from '../../../protocol/limits.js'
import { MANIFEST_VERSION, PIECE_SIZES } from '../../../protocol/manifest.js'
import { ProtocolError } from '../../../protocol/protocol-error.js'
import { StatusCode, statusName } from '../../../protocol/status.js'

const readme = readFileSync(new URL('../../../protocol/README.md', import.meta.url), 'utf8')

/** Cells of the table rows under a heading. */
function table(heading: string): string[][] {
  const section = readme.split(/^#+ /m).find(text => text.startsWith(`${heading}\n`)) ?? ''
  const rows = section.split('\n').filter(line => line.startsWith('|'))
  return rows.slice(2).map(row =>
    row
      .split('|')
      .slice(1, -1)
      .map(cell => cell.trim().replaceAll('`', ''))
  )
}

describe('the specification', () => {
  it('lists every limit with its value', () => {
    expect(Object.fromEntries(table('Limits').map(([name, value]) => [name, Number(value)]))).toEqual({ ...limits })
  })

  it('lists every status code with its number', () => {
    expect(Object.fromEntries(table('Status codes').map(([number, name]) => [name, Number(number)]))).toEqual(
      StatusCode
    )
  })

  it('lists every protocol id', () => {
    const protocols = Object.entries(ids).filter(([name]) => name.endsWith('_PROTOCOL'))
    expect(table('Transport').map(([id]) => id)).toEqual(protocols.map(([, id]) => id))
  })

  it('names keys, domains and piece sizes as the code does', () => {
    const named = [
      ...[ids.NODE_RECORD_DOMAIN, ids.NODE_RECORD_PAYLOAD_TYPE, `${ids.NODE_RECORD_KEY_PREFIX}<peer id>`],
      ids.kadProtocol('<swarm id in hex>'),
      ids.providerKey('<manifest hash>', 0).replace('0', '<bucket>'),
      `[${ids.LAYERS_PER_BUCKET} · bucket, `
    ]
    for (const text of named) expect(readme).toContain('`' + text)
    expect(readme).toContain(`${PIECE_SIZES.slice(0, -1).join(', ')} or ${PIECE_SIZES.at(-1) ?? ''}`)
    expect(readme).toContain(`version\` is ${MANIFEST_VERSION}`)
  })
})

describe('status codes', () => {
  it('are those of the .proto files', () => {
    const { STATUS_UNSET, ...codes } = flambeau.StatusCode
    expect({ STATUS_UNSET }).toEqual({ STATUS_UNSET: 0 })
    expect(codes).toMatchObject(StatusCode)
    expect(Object.keys(codes)).toHaveLength(Object.keys(StatusCode).length)
  })

  it('have names in both directions, and no others do', () => {
    for (const [name, code] of Object.entries(StatusCode)) expect(statusName(code)).toBe(name)
    for (const code of [0, -1, 99, 1.5]) expect(() => statusName(code)).toThrow(ProtocolError)
  })
})
