import { describe, expect, it } from 'vitest'
import { EXIT_BY_ERROR } from '../../../cli/exit-codes.js'
import { page, tableRows } from './markdown.js'

/** Rows of all tables, less their titles: code, exit, what happened, what to do. */
const rows = tableRows(page('docs/errors.md')).filter(([code]) => code !== 'code')

describe('docs/errors.md', () => {
  it('lists every error code once, with its exit code', () => {
    const listed = rows.map(([code = '', exit]) => [code.replaceAll('`', ''), Number(exit)] as const)
    const byCode = (a: readonly [string, number], b: readonly [string, number]): number => (a[0] < b[0] ? -1 : 1)
    expect(listed.sort(byCode)).toEqual(Object.entries(EXIT_BY_ERROR).sort(byCode))
  })

  it('says of each what happened and what to do', () => {
    for (const row of rows) {
      expect(row).toHaveLength(4)
      expect(row.every(cell => cell !== '')).toBe(true)
    }
  })
})
