import { writeFile } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { EXIT_MEANINGS } from '../../../cli/exit-codes.js'
import { loadConfig } from '../../../node/config.js'
import { SETTING_KEYS, SETTINGS, type SettingKey } from '../../../node/config-schema.js'
import { temporaryFolder } from '../../support/temporary.js'
import { codeBlocks, page, tableRows } from './markdown.js'

const operations = page('docs/operations.md')

const DEFAULT_IN_ABOUT = / \(default: (.+)\)$/

/** The row that a setting has in the table. */
function rowOf(key: SettingKey): string[] {
  const { option, environment, allowed, about, form, fallback } = SETTINGS[key]
  const flag = form === 'boolean' && fallback === true ? `--no-${option}` : `--${option}`
  const workedOut = DEFAULT_IN_ABOUT.exec(about)?.[1]
  const fixed = Array.isArray(fallback) ? 'none' : `\`${String(fallback)}\``
  const meaning = about.replace(DEFAULT_IN_ABOUT, '')
  return [`\`${key}\``, `\`${flag}\``, `\`${environment}\``, workedOut ?? fixed, allowed, meaning]
}

describe('docs/operations.md', () => {
  it('lists every setting with its option, environment variable, default, bounds and meaning', () => {
    const [, ...rows] = tableRows(operations, 'Settings')
    expect(rows).toEqual(SETTING_KEYS.map(rowOf))
  })

  it('shows a config.toml that is valid', async () => {
    const [example = ''] = codeBlocks(operations, 'toml')
    await using folder = await temporaryFolder()
    const configFile = folder.file('config.toml')
    await writeFile(configFile, example)
    const config = await loadConfig({ home: { configFile }, env: {} })
    expect(config).toMatchObject({ name: 'attic', engine: { threads: 4 }, share: { layers: { start: 0, end: 8 } } })
  })

  it('lists every exit code with its meaning', () => {
    const [, ...rows] = tableRows(operations, 'Exit codes')
    expect(rows).toEqual(EXIT_MEANINGS.map(([code, meaning]) => [String(code), meaning]))
  })
})
