// protocol/*.proto → protocol/generated/messages.js and messages.d.ts
import { mkdirSync, readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import pbjs from 'protobufjs-cli/pbjs.js'

const protocol = fileURLToPath(new URL('../protocol/', import.meta.url))
mkdirSync(`${protocol}generated`, { recursive: true })
const sources = readdirSync(protocol)
  .filter(file => file.endsWith('.proto'))
  .map(file => protocol + file)
const options = [
  '--target',
  'static-module',
  '--wrap',
  'esm',
  '--dts',
  '--no-verify',
  '--no-delimited',
  '--no-service',
  '--no-typeurl',
  '--no-convert',
  '--path',
  protocol
]

pbjs.main([...options, '--out', `${protocol}generated/messages.js`, ...sources], error => {
  if (error) throw error
})
