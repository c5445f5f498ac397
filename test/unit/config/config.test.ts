import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { loadConfig, shareBytes, type ConfigFlags } from '../../../node/config.js'
import { SETTING_KEYS, SETTINGS } from '../../../node/config-schema.js'
import { physicalCores } from '../../../node/hardware.js'

let folder: string
let configFile: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'flambeau-config-'))
  configFile = join(folder, 'config.toml')
})

afterEach(() => rmSync(folder, { recursive: true, force: true }))

function load(toml: string | undefined, env: Record<string, string> = {}, flags: ConfigFlags = {}) {
  if (toml !== undefined) writeFileSync(configFile, toml)
  return loadConfig({ home: { configFile }, env, flags })
}

describe('the configuration', () => {
  it('has the documented defaults without a file', async () => {
    expect(await load(undefined)).toEqual({
      name: hostname(),
      network: { port: 27_470, listen: [], announce: [], mdns: true, upnp: true, relay: false, bootstrap: [] },
      engine: {
        backend: 'auto',
        threads: await physicalCores(),
        gpuLayers: -1,
        context: 4096,
        sessions: 8,
        batch: 512
      },
      share: { memory: 'auto', models: [], layers: undefined },
      schedule: { hours: [], yield: false },
      gateway: { listen: 'auto', origins: [] },
      log: { level: 'info' }
    })
  })

  it('cannot be changed', async () => {
    const config = await load('[network]\nbootstrap = ["/dns4/example.org/tcp/27470/p2p/12D3KooW"]')
    expect(() => (config.network.port = 1)).toThrow(TypeError)
    expect(() => config.network.bootstrap.push('x')).toThrow(TypeError)
  })

  it('takes a value of every kind from the file', async () => {
    const config = await load(`
      name = "lampe"
      [network]
      port = 0
      listen = ["/ip4/127.0.0.1/tcp/0"]
      mdns = false
      [engine]
      gpu_layers = 12
      [share]
      memory = "4GiB"
      layers = "0-8"`)
    expect(config).toMatchObject({
      name: 'lampe',
      network: { port: 0, listen: ['/ip4/127.0.0.1/tcp/0'], mdns: false },
      engine: { gpuLayers: 12 },
      share: { memory: 4 * 2 ** 30, layers: { start: 0, end: 8 } }
    })
  })

  it.each([
    ['the default', undefined, undefined, undefined, 27_470],
    ['the file over the default', 1111, undefined, undefined, 1111],
    ['the environment over the file', 1111, '2222', undefined, 2222],
    ['the command line over the environment', 1111, '2222', '3333', 3333],
    ['the command line over the file', 1111, undefined, '3333', 3333],
    ['the file where the environment is empty', 1111, '', undefined, 1111]
  ])('takes %s', async (_what, file, env, flag, expected) => {
    const config = await load(
      file === undefined ? undefined : `[network]\nport = ${file}`,
      env === undefined ? {} : { FLAMBEAU_PORT: env },
      flag === undefined ? {} : { 'network.port': flag }
    )
    expect(config.network.port).toBe(expected)
  })

  it.each([
    ['FLAMBEAU_MDNS', 'off', { network: { mdns: false } }],
    ['FLAMBEAU_RELAY', '1', { network: { relay: true } }],
    ['FLAMBEAU_THREADS', '3', { engine: { threads: 3 } }],
    ['FLAMBEAU_GPU_LAYERS', '-1', { engine: { gpuLayers: -1 } }],
    ['FLAMBEAU_MEMORY', 'auto', { share: { memory: 'auto' } }],
    [
      'FLAMBEAU_LISTEN',
      '/ip4/0.0.0.0/tcp/1, /ip6/::/tcp/1',
      { network: { listen: ['/ip4/0.0.0.0/tcp/1', '/ip6/::/tcp/1'] } }
    ],
    ['FLAMBEAU_LISTEN', 'none', { network: { listen: ['none'] } }],
    [
      'FLAMBEAU_HOURS',
      '22:00-07:00, sat 10:00-12:00',
      {
        schedule: {
          hours: [
            { days: [0, 1, 2, 3, 4, 5, 6], start: 1320, end: 1860 },
            { days: [6], start: 600, end: 720 }
          ]
        }
      }
    ],
    ['FLAMBEAU_YIELD', 'on', { schedule: { yield: true } }],
    ['FLAMBEAU_GATEWAY', '[::1]:80', { gateway: { listen: { host: '::1', port: 80 } } }],
    ['FLAMBEAU_GATEWAY', '0.0.0.0:8080', { gateway: { listen: { host: '0.0.0.0', port: 8080 } } }],
    ['FLAMBEAU_ORIGINS', 'https://a.example', { gateway: { origins: ['https://a.example'] } }],
    ['FLAMBEAU_LOG_LEVEL', 'debug', { log: { level: 'debug' } }]
  ])('reads %s=%s', async (variable, text, expected) => {
    expect(await load(undefined, { [variable]: text })).toMatchObject(expected)
  })

  it.each([
    ['[network]\nport = 70000', 'network.port', 70_000],
    ['[network]\nport = "80"', 'network.port', '80'],
    ['[network]\nbootstrap = ["/ip4/1.2.3.4/tcp/1"]', 'network.bootstrap', ['/ip4/1.2.3.4/tcp/1']],
    ['[network]\nlisten = ["none", "/ip4/0.0.0.0/tcp/1"]', 'network.listen', ['none', '/ip4/0.0.0.0/tcp/1']],
    ['[engine]\nbackend = "abacus"', 'engine.backend', 'abacus'],
    ['[engine]\nthreads = 1.5', 'engine.threads', 1.5],
    ['[share]\nmemory = "lots"', 'share.memory', 'lots'],
    ['[share]\nmemory = "0GiB"', 'share.memory', '0GiB'],
    ['[share]\nlayers = "8-8"', 'share.layers', '8-8'],
    ['[schedule]\nhours = ["22:00"]', 'schedule.hours', ['22:00']],
    ['[schedule]\nhours = "22:00-07:00"', 'schedule.hours', '22:00-07:00'],
    ['[schedule]\nyield = "often"', 'schedule.yield', 'often'],
    ['name = ""', 'name', ''],
    ['name = "bell\\u0007"', 'name', 'bell\u0007']
  ])('refuses %j, naming key, value and what is allowed', async (toml, key, value) => {
    const loading = load(toml, {}, { 'network.port': '1', 'engine.threads': '1' })
    await expect(loading).rejects.toMatchObject({
      code: 'CONFIG_VALUE',
      details: { key, value, source: configFile }
    })
    await expect(loading).rejects.toThrow(`${key} must be `)
  })

  it.each([
    ['FLAMBEAU_PORT', { FLAMBEAU_PORT: 'high' }, {}],
    ['FLAMBEAU_MDNS', { FLAMBEAU_MDNS: 'maybe' }, {}],
    ['--threads', {}, { 'engine.threads': '0' }],
    ['--memory', {}, { 'share.memory': '-4GiB' }]
  ])('says that %s is wrong', async (source, env, flags) => {
    await expect(load(undefined, env, flags)).rejects.toMatchObject({ code: 'CONFIG_VALUE', details: { source } })
  })

  it.each([
    ['[network]\nprot = 1', 'network.prot', 'network.port'],
    ['[engine]\ngpuLayers = 1', 'engine.gpuLayers', 'engine.gpu_layers'],
    ['port = 1', 'port', 'network.port'],
    ['[shared]\nmemory = "auto"', 'shared.memory', 'share.memory'],
    ['completely_different = 1', 'completely_different', undefined],
    ['constructor = 1', 'constructor', undefined]
  ])('refuses %j and names the nearest key', async (toml, key, nearest) => {
    const loading = load(toml)
    await expect(loading).rejects.toMatchObject({ name: 'ConfigError' })
    if (key !== 'constructor') {
      await expect(loading).rejects.toMatchObject({ code: 'CONFIG_UNKNOWN_KEY', details: { key, nearest } })
    }
  })

  it('says where the TOML is wrong', async () => {
    const loading = load('name = "a"\n[network\nport = 1')
    await expect(loading).rejects.toMatchObject({ code: 'CONFIG_SYNTAX', details: { file: configFile, line: 2 } })
    await expect(loading).rejects.toThrow('config.toml is not valid TOML at line 2')
  })

  it('refuses a file that is far too large, and one that is a folder', async () => {
    await expect(load(`# ${'x'.repeat(70_000)}`)).rejects.toMatchObject({ code: 'CONFIG_UNREADABLE' })
    await expect(loadConfig({ home: { configFile: folder }, env: {} })).rejects.toMatchObject({
      code: 'CONFIG_UNREADABLE'
    })
  })
})

describe('the table of settings', () => {
  it('names each variable and option once', () => {
    const settings = SETTING_KEYS.map(key => SETTINGS[key])
    expect(new Set(settings.map(setting => setting.environment)).size).toBe(settings.length)
    expect(new Set(settings.map(setting => setting.option.split(' ')[0])).size).toBe(settings.length)
    for (const { environment } of settings) expect(environment).toMatch(/^FLAMBEAU_[A-Z_]+$/)
  })

  it('has a finite share for auto and keeps a chosen size', () => {
    expect(shareBytes('auto', 1000)).toBe(600)
    expect(shareBytes(123, 1000)).toBe(123)
  })
})
