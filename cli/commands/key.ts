import { InvalidArgumentError } from 'commander'
import {
  MAX_EXPIRY_SECONDS,
  MAX_KEY_MODELS,
  MAX_KEY_NAME,
  MAX_RPM,
  MAX_TOKENS_PER_DAY
} from '../../node/gateway/keys/constants.js'
import { KeyFolder } from '../../node/gateway/keys/folder.js'
import { digestOf, isExpired, keyModels, keyName, newSecret, type Key } from '../../node/gateway/keys/key.js'
import { prepareHome } from '../../node/home.js'
import { durationUpTo, wholeBetween } from '../arguments.js'
import { JSON_OPTION, type Context, type DefineCommand, type JsonOption } from '../context.js'
import { moment, printable } from '../render/format.js'
import { table } from '../render/table.js'

export const define: DefineCommand = (command, context) => {
  command
    .command('create')
    .summary('make a key and show it, this once')
    .requiredOption('--name <name>', 'for people, and to revoke it by', nameArgument)
    .option('--models <models>', 'names or manifest hashes of the only models it may use: ember,other', modelsArgument)
    .option('--rpm <count>', 'requests a minute, at most', wholeBetween(1, MAX_RPM))
    .option(
      '--tokens-per-day <count>',
      'tokens of prompts and answers, a day by UTC',
      wholeBetween(1, MAX_TOKENS_PER_DAY)
    )
    .option('--expires <time>', 'it is valid for so long, such as 30d', durationUpTo(MAX_EXPIRY_SECONDS))
    .option(...JSON_OPTION)
    .action((options: CreateOptions) => create(context, options))
  command
    .command('list')
    .summary('the keys, without their secrets')
    .option(...JSON_OPTION)
    .action((options: JsonOption) => list(context, options))
  command
    .command('revoke')
    .summary('end a key at once, and the answers that are under way with it')
    .argument('<name>', 'of the key')
    .option(...JSON_OPTION)
    .action((name: string, options: JsonOption) => revoke(context, name, options))
}

interface CreateOptions extends JsonOption {
  name: string
  models?: string[]
  rpm?: number
  tokensPerDay?: number
  /** Seconds. */
  expires?: number
}

async function create({ home, output }: Context, { json, expires, ...options }: CreateOptions): Promise<void> {
  const secret = newSecret()
  const now = Date.now()
  const key: Key = {
    ...options,
    hash: digestOf(secret).toString('hex'),
    created: new Date(now).toISOString(),
    ...(expires !== undefined && { expires: new Date(now + expires * 1_000).toISOString() })
  }
  await new KeyFolder(prepareHome(home).keysFolder).add(key)
  output.result(json, { ...view(key), key: secret }, () => [secret])
  if (json) return
  output.notes([
    'It is shown only now: this node keeps nothing but its hash.',
    'Programs send it as their API key. It travels in clear text unless something adds TLS (docs/operations.md).'
  ])
}

function list({ home, output }: Context, { json }: JsonOption): void {
  const keys = new KeyFolder(home.keysFolder).list()
  output.result(json, keys.map(view), () => (keys.length === 0 ? ['There are no keys.'] : rows(keys)))
}

async function revoke({ home, output }: Context, name: string, { json }: JsonOption): Promise<void> {
  await new KeyFolder(home.keysFolder).remove(name)
  output.result(json, { revoked: name }, () => [`The key ${printable(name)} is revoked.`])
}

/** What programs are told: the hash is nobody's concern. */
function view(key: Key) {
  return { ...key, hash: undefined, expired: isExpired(key, Date.now()) }
}

function rows(keys: readonly Key[]): string[] {
  const now = new Date()
  return table(
    [
      ...[{ title: 'name' }, { title: 'models' }],
      ...(['requests/min', 'tokens/day'] as const).map(title => ({ title, align: 'right' as const })),
      ...[{ title: 'created' }, { title: 'expires' }]
    ],
    keys.map(({ name, models, rpm, tokensPerDay, created, ...key }) => [
      printable(name),
      models === undefined ? 'all' : printable(models.join(', ')),
      String(rpm ?? '-'),
      String(tokensPerDay ?? '-'),
      moment(new Date(created), now),
      expiryText(key, now)
    ])
  )
}

function expiryText({ expires }: Pick<Key, 'expires'>, now: Date): string {
  if (expires === undefined) return 'never'
  return isExpired({ expires }, now.getTime()) ? 'has expired' : moment(new Date(expires), now)
}

function nameArgument(text: string): string {
  const { data } = keyName.safeParse(text.trim())
  if (data !== undefined) return data
  throw new InvalidArgumentError(`Must have 1 to ${MAX_KEY_NAME} printable characters.`)
}

function modelsArgument(text: string): string[] {
  const { data } = keyModels.safeParse(text.split(',').map(part => part.trim()))
  if (data !== undefined) return data
  throw new InvalidArgumentError(`Must be 1 to ${MAX_KEY_MODELS} names or hashes with commas between them.`)
}
