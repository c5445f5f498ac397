import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, posix } from 'node:path'
import { describe, expect, it } from 'vitest'
import { PROJECT_ROOT } from '../../support/models.js'
import { anchors, codeSpans, page, pages, prose, tableRows, type Page } from './markdown.js'

const all = pages()
const SOURCE_FOLDERS = ['protocol', 'node', 'cli', 'test', 'scripts']

/** Targets of the links of a page. */
function links(of: Page): string[] {
  return [...prose(of).matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = '']) => target)
}

/** What a link within the project leads to; undefined when it is there. */
function broken(from: Page, target: string): string | undefined {
  const [path = '', anchor] = target.split('#')
  const file = path === '' ? from.path : posix.join(dirname(from.path), path)
  if (!existsSync(join(PROJECT_ROOT, file))) return `${from.path} → ${target}: there is no ${file}`
  if (anchor === undefined || anchors(page(file)).has(anchor)) return undefined
  return `${from.path} → ${target}: ${file} has no heading #${anchor}`
}

describe('links in the documentation', () => {
  it('lead to files and headings that exist', () => {
    const local = all.flatMap(from =>
      links(from)
        .filter(target => !target.includes('://'))
        .map(target => broken(from, target))
    )
    expect(local.length).toBeGreaterThan(30)
    expect(local.filter(problem => problem !== undefined)).toEqual([])
  })

  it('lead only to hosts that are meant for everybody', () => {
    const hosts = all.flatMap(({ text }) =>
      [...text.matchAll(/https?:\/\/([^/\s)>"'`,]+)/g)].map(([, host = '']) => host)
    )
    expect([...new Set(hosts)].sort()).toEqual([
      '127.0.0.1',
      '127.0.0.1:27471',
      'arxiv.org',
      'chat.example.org',
      'keepachangelog.com',
      'no-color.org',
      'semver.org',
      'www.npmjs.com'
    ])
  })

  it('reach every page from the index or the README', () => {
    const linked = new Set(
      all.flatMap(from => links(from).map(target => posix.join(dirname(from.path), target.split('#')[0] ?? '')))
    )
    const lost = all.map(({ path }) => path).filter(path => path !== 'README.md' && !linked.has(path))
    expect(lost).toEqual([])
  })
})

describe('files that the documentation names', () => {
  const sources = SOURCE_FOLDERS.flatMap(folder =>
    readdirSync(join(PROJECT_ROOT, folder), { recursive: true, encoding: 'utf8' }).map(path => posix.basename(path))
  )

  it('exist', () => {
    const named = all.flatMap(from => codeSpans(from).filter(span => /^[\w./-]+\.(ts|js|proto|md)$/.test(span)))
    const missing = named.filter(name =>
      name.includes('/') ? !existsSync(join(PROJECT_ROOT, name)) : !sources.includes(name)
    )
    expect(named.length).toBeGreaterThan(30)
    expect(missing).toEqual([])
  })

  it('are given from the root of the project, never from a machine', () => {
    const allowed =
      /^\/(etc\/systemd\/system|etc\/newsyslog\.d|opt\/flambeau|usr\/bin\/node|var\/lib\/flambeau|flambeau|ip[46]|dns4|p2p|tcp|key\/swarm|yamux|v1|api|page)/
    const absolute = all.flatMap(({ path, text }) =>
      [...text.matchAll(/(?<![\w/.:)\]}>~<*-])\/[a-z][\w.-]*\/[\w./-]+/g)].map(([found]) => ({ path, found }))
    )
    expect(absolute.length).toBeGreaterThan(5)
    expect(absolute.filter(({ found }) => !allowed.test(found))).toEqual([])
  })
})

describe('messages in docs/operations.md', () => {
  const code = ['protocol', 'node', 'cli'].flatMap(folder =>
    readdirSync(join(PROJECT_ROOT, folder), { recursive: true, encoding: 'utf8' })
      .filter(path => path.endsWith('.ts'))
      .map(path => readFileSync(join(PROJECT_ROOT, folder, path), 'utf8'))
  )
  const sources = code.join('\n')
  const seen = tableRows(page('docs/operations.md'), 'What to do if').flatMap(([what = '']) =>
    [...what.matchAll(/`([^`]+)`/g)].map(([, message = '']) => message).filter(message => message.includes(' '))
  )
  const messages = seen.filter(message => !message.startsWith('flambeau '))

  it.each(messages)('%s is what the code says', message => {
    const parts = message.split('…').map(part => part.trim())
    expect(parts.filter(part => part !== '' && !sources.includes(part))).toEqual([])
  })
})

describe('decisions', () => {
  const decisions = all.filter(({ path }) => /^docs\/decisions\/\d/.test(path))

  it('are numbered without gaps', () => {
    expect(decisions.map(({ path }) => posix.basename(path).slice(0, 4))).toEqual(
      decisions.map((_, index) => String(index + 1).padStart(4, '0'))
    )
  })

  it.each(decisions)('$path has context, decision and consequences, and its number', ({ path, text }) => {
    expect([...text.matchAll(/^## (.+)$/gm)].map(([, title]) => title)).toEqual(['Context', 'Decision', 'Consequences'])
    expect(text.startsWith(`# ${posix.basename(path).slice(0, 4)}: `)).toBe(true)
  })
})
