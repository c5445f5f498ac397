import { stripVTControlCharacters } from 'node:util'

export interface Column {
  title: string
  /** Numbers read better flush right. */
  align?: 'left' | 'right'
}

/** Lines of a table without rules; cells may be coloured. */
export function table(columns: readonly Column[], rows: readonly (readonly string[])[]): string[] {
  const titles = columns.map(({ title }) => title)
  const all = [titles, ...rows]
  const widths = columns.map((_, index) => Math.max(...all.map(row => displayWidth(row[index] ?? ''))))
  return all.map(row =>
    columns
      .map(({ align }, index) => pad(row[index] ?? '', widths[index] ?? 0, align))
      .join('  ')
      .trimEnd()
  )
}

/** Lines of `name  value`. */
export function pairs(entries: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(0, ...entries.map(([name]) => displayWidth(name)))
  return entries.map(([name, value]) => `${pad(name, width)}  ${value}`)
}

function pad(text: string, width: number, align: Column['align'] = 'left'): string {
  const space = ' '.repeat(Math.max(0, width - displayWidth(text)))
  return align === 'left' ? text + space : space + text
}

const WIDE =
  /[\p{Script=Han}\p{Script=Hangul}\p{Script=Hiragana}\p{Script=Katakana}\p{Emoji_Presentation}\uff01-\uff60]/u
const NO_WIDTH = /[\p{M}\p{Cf}]/u

/** Columns on a terminal: two for wide characters, none for combining ones and colours. */
export function displayWidth(text: string): number {
  let width = 0
  for (const character of stripVTControlCharacters(text)) {
    if (!NO_WIDTH.test(character)) width += WIDE.test(character) ? 2 : 1
  }
  return width
}
