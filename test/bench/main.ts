/** `npm run bench -- NAME [options]`: measurements, printed as a table and as JSON with `--json`. Never part of the tests. */
import '../../node/compat.js'

interface Bench {
  /** Its options. */
  usage: string
  bench: (args: string[]) => Promise<void>
}

const BENCHES: Readonly<Record<string, () => Promise<Bench>>> = {
  decode: async () => import('./decode.js'),
  failures: async () => import('./failures.js'),
  drains: async () => import('./drains.js'),
  soak: async () => import('./soak.js'),
  directory: async () => import('./directory.js'),
  gateway: async () => import('./gateway.js'),
  estimate: async () => import('./estimate.js'),
  conversation: async () => import('./conversation.js'),
  'engine-memory': async () => import('./engine-memory.js')
}

const [name = '', ...args] = process.argv.slice(2)
const load = BENCHES[name]
if (load === undefined) {
  console.error(`usage: npm run bench -- ${Object.keys(BENCHES).join('|')} [options], or --help after the name`)
  process.exitCode = 2
} else {
  const { usage, bench } = await load()
  if (args.includes('--help')) console.log(`usage: npm run bench -- ${name} [options]\n  ${usage}`)
  else await bench(args)
}
