import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { locateHome, prepareHome } from '../../../node/home.js'

const posix = process.platform !== 'win32'
let folder: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'flambeau-home-'))
})

afterEach(() => rmSync(folder, { recursive: true, force: true }))

describe('the data folder', () => {
  it('is ~/.flambeau, or what FLAMBEAU_HOME says', () => {
    expect(locateHome({}).path).toBe(join(homedir(), '.flambeau'))
    expect(locateHome({ FLAMBEAU_HOME: '' }).path).toBe(join(homedir(), '.flambeau'))
    expect(locateHome({ FLAMBEAU_HOME: folder })).toMatchObject({
      path: folder,
      configFile: join(folder, 'config.toml'),
      swarmFile: join(folder, 'swarm.json')
    })
  })

  it.runIf(posix)('is created for its owner alone', () => {
    const home = prepareHome(locateHome({ FLAMBEAU_HOME: join(folder, 'new', 'home') }))
    for (const path of [home.path, home.modelsFolder, home.datastoreFolder]) {
      expect(statSync(path).mode & 0o777).toBe(0o700)
    }
  })

  it.runIf(posix)('is closed to others where it was open', () => {
    chmodSync(folder, 0o755)
    prepareHome(locateHome({ FLAMBEAU_HOME: folder }))
    expect(statSync(folder).mode & 0o777).toBe(0o700)
  })

  it('that is a file is refused with what to do', () => {
    const file = join(folder, 'file')
    writeFileSync(file, '')
    expect(() => prepareHome(locateHome({ FLAMBEAU_HOME: file }))).toThrow(/cannot be used.*FLAMBEAU_HOME/)
  })
})

describe.runIf(process.platform === 'linux')('a file system without room for folders', () => {
  it('is refused at once', () => {
    expect(() => prepareHome(locateHome({ FLAMBEAU_HOME: '/proc/flambeau/home' }))).toThrow(/cannot be used/)
  })
})

describe.runIf(posix)('the control socket', () => {
  it('lies in the home', () => {
    expect(locateHome({ FLAMBEAU_HOME: folder }).controlSocket).toBe(join(folder, 'control.sock'))
  })

  it('moves to a short folder of its own where the home is too deep for a socket', () => {
    const deep = join(folder, 'x'.repeat(120))
    const { controlSocket } = locateHome({ FLAMBEAU_HOME: deep })
    expect(Buffer.byteLength(controlSocket)).toBeLessThanOrEqual(103)
    expect(controlSocket).not.toBe(locateHome({ FLAMBEAU_HOME: `${deep}y` }).controlSocket)
    prepareHome(locateHome({ FLAMBEAU_HOME: deep }))
    expect(statSync(join(controlSocket, '..')).mode & 0o777).toBe(0o700)
  })

  it('is not put into a folder that others can write', () => {
    const shared = join(folder, 'shared')
    mkdirSync(shared)
    chmodSync(shared, 0o777)
    const home = { ...locateHome({ FLAMBEAU_HOME: join(folder, 'home') }), controlSocket: join(shared, 'a.sock') }
    expect(() => prepareHome(home)).toThrow(expect.objectContaining({ code: 'SOCKET_FOLDER_UNSAFE' }) as Error)
  })

  it('is a named pipe on Windows', () => {
    expect(locateHome({ FLAMBEAU_HOME: folder }, 'win32').controlSocket).toMatch(
      /^\\\\\.\\pipe\\flambeau-[0-9a-f]{16}$/
    )
  })
})
