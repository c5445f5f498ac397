import { readFileSync } from 'node:fs'
import { parse, TomlError } from 'smol-toml'
import type { z } from 'zod'
import { asError, CodedError } from '../protocol/errors.js'
import { nameOfMachine, SETTING_KEYS, SETTINGS, type SettingForm, type SettingKey } from './config-schema.js'
import type { HoursRule } from './availability/schedule.js'
import type { EngineSettings } from './engine/types.js'
import type { GatewaySettings } from './gateway/types.js'
import { physicalCores } from './hardware.js'
import type { Home } from './home.js'
import type { LayerRange } from './models/types.js'
import { nearest } from './parse.js'

/** What the owner decided about this node, every default resolved. */
export interface Config {
  /** How others see this node. */
  name: string
  network: {
    /** TCP; 0 is any free port. */
    port: number
    /** Multiaddrs; empty: all interfaces at `port`; `LISTEN_NOWHERE` alone: nowhere. */
    listen: string[]
    announce: string[]
    mdns: boolean
    upnp: boolean
    relay: boolean
    /** Multiaddrs with /p2p/, next to those of the swarm. */
    bootstrap: string[]
  }
  /** `gpuLayers` -1 is all of them. Context in KV positions, batch in rows. */
  engine: EngineSettings & { context: number; sessions: number; batch: number }
  share: {
    /** Bytes. `auto`: see `shareBytes`. */
    memory: number | 'auto'
    /** Names or manifest hashes of the models to hold; empty: any. */
    models: string[]
    /** The owner's choice of layers; undefined where placement chooses. */
    layers: LayerRange | undefined
  }
  schedule: {
    /** When the node serves; empty: always. */
    hours: HoursRule[]
    /** Whether it pauses while others use the machine heavily. */
    yield: boolean
  }
  gateway: GatewaySettings
  log: { level: LogLevel }
}

export type LogLevel = z.output<(typeof SETTINGS)['log.level']['schema']>

export type ConfigErrorCode = 'CONFIG_UNREADABLE' | 'CONFIG_SYNTAX' | 'CONFIG_UNKNOWN_KEY' | 'CONFIG_VALUE'

/** The configuration has a mistake; `details` name the key, the value and where it came from. */
export class ConfigError extends CodedError<ConfigErrorCode> {
  override name = 'ConfigError'
}

/** Values from the command line, text as it was typed or already typed. */
export type ConfigFlags = Partial<Record<SettingKey, unknown>>

export interface ConfigSources {
  home: Pick<Home, 'configFile'>
  flags?: ConfigFlags
  env?: Readonly<Record<string, string | undefined>>
}

/** Bytes; a configuration is a page of text. */
const MAX_CONFIG_BYTES = 64 * 1024

/** What `share.memory = "auto"` takes of the memory that is free: the rest stays with the owner. */
const AUTO_MEMORY_SHARE = 0.6

/** Bytes for shards, where `freeBytes` are free on the device that will hold them. */
export function shareBytes(memory: Config['share']['memory'], freeBytes: number): number {
  return memory === 'auto' ? Math.floor(freeBytes * AUTO_MEMORY_SHARE) : memory
}

/** Command line over environment over config.toml over defaults. Every source is checked, also where another one wins. Throws `ConfigError`. */
export async function loadConfig({ home, flags = {}, env = process.env }: ConfigSources): Promise<Config> {
  const given = { ...fromFile(home.configFile), ...fromEnvironment(env), ...fromFlags(flags) }
  const value = <K extends SettingKey>(key: K): SettingValue<K> | undefined =>
    (given[key] ?? checked(key, SETTINGS[key].fallback, 'default')) as SettingValue<K> | undefined
  return freeze({
    name: value('name') ?? nameOfMachine(),
    network: {
      port: required(value('network.port')),
      listen: required(value('network.listen')),
      announce: required(value('network.announce')),
      mdns: required(value('network.mdns')),
      upnp: required(value('network.upnp')),
      relay: required(value('network.relay')),
      bootstrap: required(value('network.bootstrap'))
    },
    engine: {
      backend: required(value('engine.backend')),
      threads: value('engine.threads') ?? (await physicalCores()),
      gpuLayers: required(value('engine.gpu_layers')),
      context: required(value('engine.context')),
      sessions: required(value('engine.sessions')),
      batch: required(value('engine.batch'))
    },
    share: {
      memory: required(value('share.memory')),
      models: required(value('share.models')),
      layers: value('share.layers')
    },
    schedule: {
      hours: required(value('schedule.hours')),
      yield: required(value('schedule.yield'))
    },
    gateway: {
      listen: required(value('gateway.listen')),
      origins: required(value('gateway.origins'))
    },
    log: { level: required(value('log.level')) }
  })
}

type SettingValue<K extends SettingKey> = z.output<(typeof SETTINGS)[K]['schema']>
type Values = Partial<Record<SettingKey, unknown>>

function fromFile(file: string): Values {
  const values: Values = {}
  for (const [key, value] of flatten(readTables(file))) {
    if (!isSettingKey(key)) throw unknownKey(file, key)
    values[key] = checked(key, value, file)
  }
  return values
}

function readTables(file: string): Record<string, unknown> {
  const text = readText(file)
  try {
    return text === undefined ? {} : parse(text, { unsafeKeyBehaviour: 'throw' })
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    const { line, column, message } = error
    const what = message
      .split('\n', 1)
      .join()
      .replace(/^Invalid TOML document: /, '')
    throw new ConfigError('CONFIG_SYNTAX', `${file} is not valid TOML at line ${line}, column ${column}: ${what}.`, {
      details: { file, line, column },
      cause: error
    })
  }
}

function readText(file: string): string | undefined {
  try {
    const bytes = readFileSync(file)
    if (bytes.byteLength <= MAX_CONFIG_BYTES) return bytes.toString('utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new ConfigError('CONFIG_UNREADABLE', `${file} cannot be read: ${asError(error).message}`, {
      details: { file },
      cause: error
    })
  }
  throw new ConfigError(
    'CONFIG_UNREADABLE',
    `${file} is larger than ${MAX_CONFIG_BYTES} bytes; is it the right file?`,
    {
      details: { file }
    }
  )
}

/** `{ network: { port: 1 } }` → `network.port`, 1. */
function flatten(tables: Record<string, unknown>): [string, unknown][] {
  return Object.entries(tables).flatMap(([key, value]) =>
    isTable(value)
      ? Object.entries(value).map(([inner, innerValue]): [string, unknown] => [`${key}.${inner}`, innerValue])
      : [[key, value]]
  )
}

function isTable(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date)
}

function isSettingKey(key: string): key is SettingKey {
  return Object.hasOwn(SETTINGS, key)
}

function unknownKey(file: string, key: string): ConfigError {
  const closest = nearest(key, SETTING_KEYS) ?? SETTING_KEYS.find(known => known.endsWith(`.${key}`))
  const hint = closest === undefined ? `Known are ${SETTING_KEYS.join(', ')}.` : `Did you mean ${closest}?`
  return new ConfigError('CONFIG_UNKNOWN_KEY', `${file} has the unknown key ${key}. ${hint}`, {
    details: { file, key, nearest: closest }
  })
}

function fromEnvironment(env: Readonly<Record<string, string | undefined>>): Values {
  const values: Values = {}
  for (const key of SETTING_KEYS) {
    const { environment, form } = SETTINGS[key]
    const text = env[environment]
    if (text !== undefined && text !== '') values[key] = checked(key, fromText(form, text), environment)
  }
  return values
}

function fromFlags(flags: ConfigFlags): Values {
  const values: Values = {}
  for (const key of SETTING_KEYS) {
    const { form, option } = SETTINGS[key]
    const given = flags[key]
    if (given === undefined) continue
    values[key] = checked(
      key,
      typeof given === 'string' ? fromText(form, given) : given,
      `--${option.split(' ', 1).join()}`
    )
  }
  return values
}

const BOOLEANS: Readonly<Record<string, boolean>> = {
  true: true,
  1: true,
  yes: true,
  on: true,
  false: false,
  0: false,
  no: false,
  off: false
}

/** The value that `text` stands for, or `text` itself, which the schema then refuses with the right message. */
function fromText(form: SettingForm, text: string): unknown {
  switch (form) {
    case 'text':
      return text
    case 'number':
      return /^-?\d+$/.test(text.trim()) ? Number(text) : text
    case 'boolean':
      return BOOLEANS[text.trim().toLowerCase()] ?? text
    case 'list':
      return text.split(',').flatMap(part => (part.trim() === '' ? [] : [part.trim()]))
  }
}

function checked(key: SettingKey, value: unknown, source: string): unknown {
  const { schema, allowed } = SETTINGS[key]
  if (value === undefined) return undefined
  const result = (schema as z.ZodType).safeParse(value)
  if (result.success) return result.data
  throw new ConfigError('CONFIG_VALUE', `${key} must be ${allowed}, but ${source} says ${JSON.stringify(value)}.`, {
    details: { key, value, allowed, source }
  })
}

/** Every setting that is not worked out at start has a fallback in the table. */
function required<T>(value: T | undefined): T {
  if (value === undefined) throw new TypeError('A setting has neither a value nor a default.')
  return value
}

function freeze<T extends object>(value: T): T {
  for (const inner of Object.values(value)) if (typeof inner === 'object' && inner !== null) freeze(inner as object)
  return Object.freeze(value)
}
