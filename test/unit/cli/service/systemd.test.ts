import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { serviceManager } from '../../../../cli/service/manager.js'
import { authorOf } from '../../../../cli/service/stamp.js'
import { systemd, systemdUnit } from '../../../../cli/service/systemd.js'
import { LEAVE_DRAIN_MS } from '../../../../node/availability/constants.js'

const facts = { node: '/usr/bin/node', entry: '/opt/flambeau/dist/cli/main.js', home: '/home/ada/.flambeau' }
const place = { homedir: '/home/ada', uid: 1000, configHome: undefined }

/** What a setting of the unit says, each time that it is there. */
function settings(text: string, name: string): string[] {
  return [...text.matchAll(new RegExp(`^${name}=(.*)$`, 'gm'))].map(([, value = '']) => value)
}

describe('the systemd unit', () => {
  it('is this, for a usual home', () => {
    const [first, ...rest] = systemdUnit(facts).split('\n')
    expect(first).toMatch(/^# Written by `flambeau service install`, checksum [0-9a-f]{16}\. What you edit is kept\.$/)
    expect(rest.join('\n')).toBe(`[Unit]
Description=Flambeau node
StartLimitIntervalSec=600
StartLimitBurst=10

[Service]
Type=exec
Environment="FLAMBEAU_HOME=/home/ada/.flambeau"
ExecStart="/usr/bin/node" "/opt/flambeau/dist/cli/main.js" up
Restart=on-failure
RestartSec=10
RestartPreventExitStatus=2 3
KillMode=mixed
KillSignal=SIGTERM
TimeoutStopSec=60
NoNewPrivileges=true

[Install]
WantedBy=default.target
`)
  })

  it('gives a node more time to stop than its sessions may take', () => {
    const [seconds] = settings(systemdUnit(facts), 'TimeoutStopSec')
    expect(Number(seconds) * 1_000).toBeGreaterThan(LEAVE_DRAIN_MS + 30_000)
  })

  // As systemd 252 read them back: the environment has specifiers, the command line variables too, its program neither
  // quotes nor variables.
  it.each([
    ['spaces', '/a b', '"/a b/node" "/a b/main.js" up', '"FLAMBEAU_HOME=/a b"'],
    ['a percent sign', '/100%h', '"/100%%h/node" "/100%%h/main.js" up', '"FLAMBEAU_HOME=/100%%h"'],
    ['variables', '/$A${B}', '"/$A${B}/node" "/$$A$${B}/main.js" up', '"FLAMBEAU_HOME=/$A${B}"'],
    ['comment signs', '/a #;b', '"/a #;b/node" "/a #;b/main.js" up', '"FLAMBEAU_HOME=/a #;b"']
  ])('writes paths with %s', (_what, folder, command, environment) => {
    const text = systemdUnit({ node: `${folder}/node`, entry: `${folder}/main.js`, home: folder })
    expect(settings(text, 'ExecStart')).toEqual([command])
    expect(settings(text, 'Environment')).toEqual([environment])
  })

  it('writes quotes and backslashes in arguments, and refuses them in the program, as systemd does', () => {
    const text = systemdUnit({ ...facts, entry: '/a"b\\c', home: '/a"b\\c' })
    expect(settings(text, 'ExecStart')).toEqual(['"/usr/bin/node" "/a\\"b\\\\c" up'])
    expect(settings(text, 'Environment')).toEqual(['"FLAMBEAU_HOME=/a\\"b\\\\c"'])
    expect(() => systemdUnit({ ...facts, node: '/a"b/node' })).toThrow(
      expect.objectContaining({ code: 'SERVICE_PATH' })
    )
  })

  it.each(['node', 'entry', 'home'])('refuses a line break in the path of %s', name => {
    expect(() => systemdUnit({ ...facts, [name]: '/a\nExecStart=/bin/false' })).toThrow(
      expect.objectContaining({ code: 'SERVICE_PATH' })
    )
  })

  it('says which home it is for, whatever that is called', () => {
    const path = fc.string({ unit: 'grapheme' }).filter(text => !/[\p{Cc}\u2028\u2029]/u.test(text))
    fc.assert(
      fc.property(path, text => {
        const home = `/${text}`
        const unit = systemdUnit({ ...facts, home })
        expect(systemd(place).homeIn(unit)).toBe(home)
        expect(authorOf(unit)).toBe('ours')
      })
    )
  })
})

describe('the author of a unit', () => {
  const unit = systemdUnit(facts)

  it.each([
    ['as it was written', unit, 'ours'],
    ['with a line added', `${unit}# mine\n`, 'edited'],
    ['with a value changed', unit.replace('RestartSec=10', 'RestartSec=1'), 'edited'],
    ['with another checksum', unit.replace(/checksum [0-9a-f]{4}/, 'checksum 0000'), 'edited'],
    ['without the stamp', unit.split('\n').slice(1).join('\n'), 'foreign'],
    ['empty', '', 'foreign']
  ])('%s is known', (_what, text, author) => expect(authorOf(text)).toBe(author))
})

describe('the place of a unit', () => {
  it.each([
    [undefined, '/home/ada/.config/systemd/user/flambeau.service'],
    ['', '/home/ada/.config/systemd/user/flambeau.service'],
    ['relative', '/home/ada/.config/systemd/user/flambeau.service'],
    ['/etc/ada', '/etc/ada/systemd/user/flambeau.service']
  ])('with XDG_CONFIG_HOME %s is %s', (configHome, file) => {
    expect(systemd({ ...place, configHome }).file).toBe(file)
  })

  it('is known on Linux and macOS, and elsewhere it is said what to do', () => {
    const machine = { homedir: '/home/ada', uid: 1000, env: {} }
    expect(serviceManager({ ...machine, platform: 'linux' }).name).toBe('systemd')
    expect(serviceManager({ ...machine, platform: 'darwin' }).name).toBe('launchd')
    for (const platform of ['win32', 'freebsd'] as const) {
      expect(() => serviceManager({ ...machine, platform })).toThrow(/let .* start `flambeau up`/)
    }
  })
})
