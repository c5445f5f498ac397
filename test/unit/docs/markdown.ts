import { readdirSync, readFileSync } from 'node:fs'
import { join, relative, sep } from 'node:path'
import { PROJECT_ROOT } from '../../support/models.js'

/** A page of the documentation. */
export interface Page {
  /** From the project's root, with forward slashes. */
  path: string
  text: string
}

/** One line of a code block, and the language of the block. */
export interface CodeLine {
  language: string
  text: string
}

const FENCE = /^```(\w*)\n([\s\S]*?)^```$/gm

/** Every page that people read; the demo model's own one belongs to the model. */
export function pages(): Page[] {
  const paths = ['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', 'models/README.md', 'protocol/README.md']
  const docs = readdirSync(join(PROJECT_ROOT, 'docs'), { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile() && entry.name.endsWith('.md'))
    .map(entry => relative(PROJECT_ROOT, join(entry.parentPath, entry.name)).split(sep).join('/'))
  return [...paths, ...docs.sort()].map(path => page(path))
}

export function page(path: string): Page {
  return { path, text: readFileSync(join(PROJECT_ROOT, path), 'utf8') }
}

/** The page without its code blocks. */
export function prose({ text }: Page): string {
  return text.replaceAll(FENCE, '')
}

export function codeLines({ text }: Page): CodeLine[] {
  return [...text.matchAll(FENCE)].flatMap(([, language = '', code = '']) =>
    code.split('\n').map(line => ({ language, text: line }))
  )
}

/** The whole code blocks in one language. */
export function codeBlocks({ text }: Page, language: string): string[] {
  return [...text.matchAll(FENCE)].flatMap(([, found, code = '']) => (found === language ? [code] : []))
}

/** What stands between backticks, outside of code blocks. */
export function codeSpans(page: Page): string[] {
  return [...prose(page).matchAll(/`([^`\n]+)`/g)].map(([, span = '']) => span)
}

/** Cells of the rows of every table between a heading and the next one; with no heading, of the whole page. */
export function tableRows({ text }: Page, heading?: string): string[][] {
  const section = heading === undefined ? text : text.split(/^#+ /m).find(part => part.startsWith(`${heading}\n`))
  if (section === undefined) throw new Error(`there is no heading ${heading ?? ''}`)
  return section
    .split('\n')
    .filter(line => line.startsWith('|') && !/^\|[ :|-]+\|$/.test(line))
    .map(line =>
      line
        .slice(1, -1)
        .split('|')
        .map(cell => cell.trim())
    )
}

/** Anchors of a page's headings, as GitHub makes them. */
export function anchors(page: Page): Set<string> {
  const headings = [...prose(page).matchAll(/^#+ (.+)$/gm)].map(([, title = '']) => title)
  return new Set(headings.map(anchorOf))
}

function anchorOf(title: string): string {
  return title
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-')
}
