// What tsc leaves out of dist: the generated protocol code, the page, and the permission to run the command.
import { chmodSync, cpSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
cpSync(`${root}protocol/generated`, `${root}dist/protocol/generated`, { recursive: true })
cpSync(`${root}node/gateway/page/static`, `${root}dist/node/gateway/page/static`, { recursive: true })
chmodSync(`${root}dist/cli/main.js`, 0o755)
