import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { FastifyInstance } from 'fastify'

const HTML = 'text/html; charset=utf-8'
const SCRIPT = 'text/javascript; charset=utf-8'
const STYLE = 'text/css; charset=utf-8'
const IMAGE = 'image/svg+xml'

/** By path: the file in `static/` and what it is. Nothing else is read, whatever is asked for. */
const FILES: Readonly<Record<string, readonly [file: string, type: string]>> = {
  '/': ['index.html', HTML],
  '/page/style.css': ['style.css', STYLE],
  '/page/icon.svg': ['icon.svg', IMAGE],
  ...Object.fromEntries(
    [
      ...['main', 'dom', 'format', 'text', 'sse', 'live', 'changes', 'coverage', 'owner'],
      ...['conversation', 'chat', 'route', 'swarm', 'node', 'actions', 'throughput'],
      ...['model', 'expectation', 'plan', 'peers', 'load']
    ].map(name => [`/page/${name}.js`, [`${name}.js`, SCRIPT] as const])
  )
}

/** They are the same for everybody, and no secret: they need no key. */
export const FILE_PATHS: readonly string[] = Object.keys(FILES)

/** The page loads nothing from elsewhere and runs no script but its own, whatever an answer or a name says. */
const POLICY = [
  ...["default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "img-src 'self' data:"],
  ...["frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"]
].join('; ')

const HEADERS = {
  'content-security-policy': POLICY,
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  // Looked at again each time: a newer version brings newer files.
  'cache-control': 'no-cache'
}

/** Reads them all, once. */
export function addFiles(app: FastifyInstance): void {
  for (const [path, [file, type]] of Object.entries(FILES)) {
    const content = readFileSync(new URL(`./static/${file}`, import.meta.url))
    const etag = `"${createHash('sha256').update(content).digest('base64url')}"`
    app.get(path, async (request, reply) => {
      reply.headers({ ...HEADERS, etag })
      if (request.headers['if-none-match'] === etag) return reply.code(304).send()
      return reply.type(type).send(content)
    })
  }
}
