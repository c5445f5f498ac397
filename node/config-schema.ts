import { hostname } from 'node:os'
import { z } from 'zod'
import { MAX_HOURS } from './availability/constants.js'
import { HOURS_ALLOWED, parseHours } from './availability/schedule.js'
import { BYTES_ALLOWED, LAYERS_ALLOWED, parseBytes, parseHostPort, parseLayerRange } from './parse.js'

/** How a value is written where everything is text: in the environment and on the command line. */
export type SettingForm = 'text' | 'number' | 'boolean' | 'list'

/** One setting: its names in the file, the environment and on the command line, what it may be, what it does. */
export interface Setting<Schema extends z.ZodType = z.ZodType> {
  environment: string
  /** Of `flambeau up`; the part after `--`, with its argument. */
  option: string
  form: SettingForm
  schema: Schema
  /** Ends the sentence "must be ...". */
  allowed: string
  about: string
  /** Undefined: worked out at start, as `about` says. */
  fallback: z.input<Schema> | undefined
}

const MAX_ORIGINS = 64
/** The most entries in a list of addresses. */
const MAX_ADDRESSES = 64
/** Models that an owner can name, and characters of each: a name, or a manifest hash. */
const MAX_MODELS = 32
const MAX_MODEL_NAME = 256
/** Characters; names travel in node records. */
const MAX_NAME = 64
const MAX_THREADS = 1024
/** Positions: llama.cpp's KV of more than that fits no machine yet. */
const MAX_CONTEXT = 2 ** 22

const integer = (minimum: number, maximum: number) => z.int().min(minimum).max(maximum)
const addresses = z.array(z.string().max(512).startsWith('/')).max(MAX_ADDRESSES)
/** Instead of addresses to listen on. */
export const LISTEN_NOWHERE = 'none'
const listenAddresses = addresses.or(z.tuple([z.literal(LISTEN_NOWHERE)]))
const peerAddresses = z.array(z.string().max(512).startsWith('/').includes('/p2p/')).max(MAX_ADDRESSES)
// Names are shown on other people's terminals: no control characters.
const name = z
  .string()
  .min(1)
  .max(MAX_NAME)
  .regex(/^[^\p{Cc}\p{Cf}]*$/u)
/** Text that `parse` understands. */
const parsed = <T>(parse: (text: string) => T | undefined) =>
  z.string().transform((text, context): T => {
    const value = parse(text)
    if (value !== undefined) return value
    context.addIssue({ code: 'custom' })
    return z.NEVER
  })

function parseGateway(text: string): { host: string; port: number } | 'auto' | 'none' | undefined {
  if (text === 'auto' || text === 'none') return text
  return parseHostPort(text)
}

const setting = <Schema extends z.ZodType>(value: Setting<Schema>): Setting<Schema> => value
const addressesAllowed = 'a list of multiaddrs such as /ip4/0.0.0.0/tcp/27470'

/**
 * Every setting, by its key in config.toml (`table.key`). Precedence: command line, environment, file, default.
 * The options of `flambeau up` and the tables in the documentation come from here.
 */
export const SETTINGS = {
  name: setting({
    environment: 'FLAMBEAU_NAME',
    option: 'name <name>',
    form: 'text',
    schema: name,
    allowed: `1 to ${MAX_NAME} printable characters`,
    about: 'how others see this node (default: the hostname)',
    fallback: undefined
  }),
  'network.port': setting({
    environment: 'FLAMBEAU_PORT',
    option: 'port <port>',
    form: 'number',
    schema: integer(0, 65_535),
    allowed: 'a whole number from 0 (any free port) to 65535',
    about: 'TCP port for other nodes',
    fallback: 27_470
  }),
  'network.listen': setting({
    environment: 'FLAMBEAU_LISTEN',
    option: 'listen <addresses>',
    form: 'list',
    schema: listenAddresses,
    allowed: `${addressesAllowed}, or ${LISTEN_NOWHERE}`,
    about: `addresses to listen on instead of all interfaces at the port; ${LISTEN_NOWHERE}: be reached through a relay only`,
    fallback: []
  }),
  'network.announce': setting({
    environment: 'FLAMBEAU_ANNOUNCE',
    option: 'announce <addresses>',
    form: 'list',
    schema: addresses,
    allowed: addressesAllowed,
    about: 'addresses at which others reach this node, e.g. behind a forwarded port',
    fallback: []
  }),
  'network.mdns': setting({
    environment: 'FLAMBEAU_MDNS',
    option: 'mdns',
    form: 'boolean',
    schema: z.boolean(),
    allowed: 'true or false',
    about: 'find nodes on the local network',
    fallback: true
  }),
  'network.upnp': setting({
    environment: 'FLAMBEAU_UPNP',
    option: 'upnp',
    form: 'boolean',
    schema: z.boolean(),
    allowed: 'true or false',
    about: 'ask the router to forward the port',
    fallback: true
  }),
  'network.relay': setting({
    environment: 'FLAMBEAU_RELAY',
    option: 'relay',
    form: 'boolean',
    schema: z.boolean(),
    allowed: 'true or false',
    about: 'relay for members that cannot be reached; only for nodes that everyone reaches',
    fallback: false
  }),
  'network.bootstrap': setting({
    environment: 'FLAMBEAU_BOOTSTRAP',
    option: 'bootstrap <addresses>',
    form: 'list',
    schema: peerAddresses,
    allowed: 'a list of multiaddrs that end in /p2p/ and a peer id',
    about: "nodes to join through, next to the invitation's",
    fallback: []
  }),
  'engine.backend': setting({
    environment: 'FLAMBEAU_BACKEND',
    option: 'backend <backend>',
    form: 'text',
    schema: z.enum(['auto', 'cuda', 'metal', 'vulkan', 'cpu']),
    allowed: 'auto, cuda, metal, vulkan or cpu',
    about: 'what computes',
    fallback: 'auto'
  }),
  'engine.threads': setting({
    environment: 'FLAMBEAU_THREADS',
    option: 'threads <count>',
    form: 'number',
    schema: integer(1, MAX_THREADS),
    allowed: `a whole number from 1 to ${MAX_THREADS}`,
    about: 'CPU threads (default: the physical cores)',
    fallback: undefined
  }),
  'engine.gpu_layers': setting({
    environment: 'FLAMBEAU_GPU_LAYERS',
    option: 'gpu-layers <count>',
    form: 'number',
    schema: integer(-1, 65_536),
    allowed: 'a whole number from 0, or -1 for all',
    about: 'layers on the GPU, -1 for all',
    fallback: -1
  }),
  'engine.context': setting({
    environment: 'FLAMBEAU_CONTEXT',
    option: 'context <positions>',
    form: 'number',
    schema: integer(64, MAX_CONTEXT),
    allowed: `a whole number from 64 to ${MAX_CONTEXT}`,
    about: 'KV positions of a shard, shared by its sessions',
    fallback: 4096
  }),
  'engine.sessions': setting({
    environment: 'FLAMBEAU_SESSIONS',
    option: 'sessions <count>',
    form: 'number',
    schema: integer(1, 256),
    allowed: 'a whole number from 1 to 256',
    about: 'the most sessions of a shard at a time',
    fallback: 8
  }),
  'engine.batch': setting({
    environment: 'FLAMBEAU_BATCH',
    option: 'batch <rows>',
    form: 'number',
    schema: integer(1, 4096),
    allowed: 'a whole number from 1 to 4096',
    about: 'the most rows in one decode',
    fallback: 512
  }),
  'share.memory': setting({
    environment: 'FLAMBEAU_MEMORY',
    option: 'memory <size>',
    form: 'text',
    schema: parsed(text => (text === 'auto' ? 'auto' : parseBytes(text))),
    allowed: `auto or ${BYTES_ALLOWED}`,
    about: 'memory for shards; auto is 60 % of what is free',
    fallback: 'auto'
  }),
  'share.models': setting({
    environment: 'FLAMBEAU_MODELS',
    option: 'models <names>',
    form: 'list',
    schema: z.array(z.string().min(1).max(MAX_MODEL_NAME)).max(MAX_MODELS),
    allowed: 'a list of model names or manifest hashes',
    about: 'hold only these models (default: whatever the swarm offers, while memory lasts)',
    fallback: []
  }),
  'share.layers': setting({
    environment: 'FLAMBEAU_LAYERS',
    option: 'layers <range>',
    form: 'text',
    schema: parsed(parseLayerRange),
    allowed: LAYERS_ALLOWED,
    about: 'serve exactly these layers, 0-8 being layers 0 to 7 (default: those that help most)',
    fallback: undefined
  }),
  'schedule.hours': setting({
    environment: 'FLAMBEAU_HOURS',
    option: 'hours <hours>',
    form: 'list',
    schema: z.array(parsed(parseHours)).max(MAX_HOURS),
    allowed: HOURS_ALLOWED,
    about: 'when this node serves, in local time; days are those on which it begins (default: always)',
    fallback: []
  }),
  'schedule.yield': setting({
    environment: 'FLAMBEAU_YIELD',
    option: 'yield',
    form: 'boolean',
    schema: z.boolean(),
    allowed: 'true or false',
    about: 'pause while others use this machine heavily',
    fallback: false
  }),
  'gateway.listen': setting({
    environment: 'FLAMBEAU_GATEWAY',
    option: 'gateway <address>',
    form: 'text',
    schema: parsed(parseGateway),
    allowed: 'auto, none or an address such as 127.0.0.1:8080 or [::]:8080',
    about:
      'where other programs reach this node over HTTP; auto is 127.0.0.1 at port 27471, or at another one where that is taken; addresses that other machines reach need keys',
    fallback: 'auto'
  }),
  'gateway.origins': setting({
    environment: 'FLAMBEAU_ORIGINS',
    option: 'origins <origins>',
    form: 'list',
    schema: z
      .array(
        z
          .string()
          .max(512)
          .regex(/^https?:\/\/[^/\s]+$/)
      )
      .max(MAX_ORIGINS),
    allowed: 'a list of origins such as https://chat.example.org, without a path',
    about: 'web pages of other sites that may use the gateway',
    fallback: []
  }),
  'log.level': setting({
    environment: 'FLAMBEAU_LOG_LEVEL',
    option: 'log-level <level>',
    form: 'text',
    schema: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']),
    allowed: 'fatal, error, warn, info, debug, trace or silent',
    about: 'what is logged',
    fallback: 'info'
  })
}

export type SettingKey = keyof typeof SETTINGS

export const SETTING_KEYS = Object.keys(SETTINGS) as SettingKey[]

/** Hostnames are short and printable nearly everywhere; where not, the node is called `node`. */
export function nameOfMachine(): string {
  return name.safeParse(hostname().slice(0, MAX_NAME)).data ?? 'node'
}
