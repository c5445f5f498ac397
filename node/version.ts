import { readFileSync } from 'node:fs'

/** From package.json: the root of the sources and of `dist` are equally far from it, or one folder further. */
function readVersion(): string {
  for (const path of ['../package.json', '../../package.json']) {
    try {
      const { name, version } = JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8')) as Record<
        string,
        unknown
      >
      if (name === 'flambeau' && typeof version === 'string') return version
    } catch {
      continue // the other place
    }
  }
  throw new Error('package.json of flambeau was not found next to its code')
}

/** Of this package. */
export const VERSION = readVersion()

/** What this node says it is, to other nodes. */
export const AGENT = `flambeau/${VERSION}`
