import { mkdir, readFile, stat, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  installService,
  uninstallService,
  viewService,
  type ServiceParts
} from '../../../../cli/service/installation.js'
import { launchAgent, launchd } from '../../../../cli/service/launchd.js'
import { runner } from '../../../../cli/service/run.js'
import { authorOf } from '../../../../cli/service/stamp.js'
import { ControlServer } from '../../../../node/control/server.js'
import { locateHome, prepareHome } from '../../../../node/home.js'
import { MemoryService, STATUS } from '../../control/memory-service.js'
import { fakePrograms, type FakePrograms } from './programs.js'

const facts = { node: '/usr/local/bin/node', entry: '/opt/flambeau/dist/cli/main.js', home: '/Users/ada/.flambeau' }

describe('the launchd agent', () => {
  it('starts this home at the login, again after a failure, and writes its log to a file', () => {
    const text = launchAgent(facts, '/Users/ada/Library/Logs/Flambeau/flambeau.log')
    const values = [...text.matchAll(/<key>(\w+)<\/key>\s*<(?:string|integer)>([^<]*)</g)].map(([, key, value]) => [
      key,
      value
    ])
    expect(Object.fromEntries(values)).toEqual({
      Label: 'flambeau.node',
      FLAMBEAU_HOME: '/Users/ada/.flambeau',
      ThrottleInterval: '10',
      ExitTimeOut: '60',
      StandardOutPath: '/Users/ada/Library/Logs/Flambeau/flambeau.log',
      StandardErrorPath: '/Users/ada/Library/Logs/Flambeau/flambeau.log'
    })
    expect(text).toMatch(/<key>RunAtLoad<\/key>\s*<true\/>/)
    expect(text).toMatch(/<key>KeepAlive<\/key>\s*<dict>\s*<key>SuccessfulExit<\/key>\s*<false\/>/)
    const words = [...text.matchAll(/^ {4}<string>(.*)<\/string>$/gm)].map(([, word]) => word)
    expect(words.slice(0, 3)).toEqual([facts.node, facts.entry, 'up'])
    expect(authorOf(text)).toBe('ours')
    // Two dashes in a row end a comment in XML.
    expect(/<!--(.*?)-->/s.exec(text)?.[1]).not.toContain('--')
  })

  it('writes brackets, quotes and ampersands as XML wants them', () => {
    const text = launchAgent({ ...facts, home: `/a <b> & "c" 'd' &lt;` }, '/log')
    expect(text).toContain('<string>/a &lt;b&gt; &amp; &quot;c&quot; &apos;d&apos; &amp;lt;</string>')
  })

  it('says which home it is for, whatever that is called', () => {
    const manager = launchd({ homedir: '/Users/ada', uid: 501 })
    const path = fc.string({ unit: 'grapheme' }).filter(text => !/[\p{Cc}\u2028\u2029]/u.test(text))
    fc.assert(
      fc.property(path, text => {
        expect(manager.homeIn(launchAgent({ ...facts, home: `/${text}` }, '/log'))).toBe(`/${text}`)
      })
    )
  })

  it('refuses line breaks', () => {
    expect(() => launchAgent({ ...facts, home: '/a\rb' }, '/log')).toThrow(
      expect.objectContaining({ code: 'SERVICE_PATH' })
    )
  })
})

/** Unloading takes a while: the agent is known for two more looks. */
const LAUNCHCTL = `case $1 in
  print)
    [ -s "$FAKE/going" ] && { sed -i.old 1d "$FAKE/going"; [ -s "$FAKE/going" ] || rm -f "$FAKE/loaded"; }
    [ -e "$FAKE/loaded" ] || { echo 'Could not find service' >&2; exit 113; }
    cat "$FAKE/loaded" ;;
  bootout)
    [ -e "$FAKE/loaded" ] || { echo 'No such process' >&2; exit 3; }
    printf 'x\\nx\\n' > "$FAKE/going"; exit 36 ;;
  bootstrap)
    [ -e "$FAKE/loaded" ] && { echo 'Bootstrap failed: 5' >&2; exit 5; }
    cp "$FAKE/print" "$FAKE/loaded" ;;
esac`

describe('a service under launchd', () => {
  let programs: FakePrograms
  let server: ControlServer
  let parts: ServiceParts

  beforeEach(async () => {
    programs = await fakePrograms({ launchctl: LAUNCHCTL }, 'launchctl print')
    const home = prepareHome(locateHome({ FLAMBEAU_HOME: programs.folder.file('home') }))
    server = new ControlServer(
      { service: new MemoryService(), logger: { debug: () => undefined, error: () => undefined } },
      home
    )
    const signal = new AbortController().signal
    const manager = launchd({ homedir: programs.folder.path, uid: 501 })
    parts = { manager, run: runner({ PATH: programs.path }, signal), home, signal }
  })

  afterEach(async () => {
    await server.stop()
    await programs[Symbol.asyncDispose]()
  })

  const running = `gui/501/flambeau.node = {\n\tstate = running\n\tpid = ${STATUS.pid}\n\tlast exit code = (never exited)\n}\n`

  it('replaces the one that runs, once that is gone, and goes when it is removed', async () => {
    const { manager } = parts
    await programs.put('print', running)
    await programs.put('loaded', running)
    await mkdir(dirname(manager.file), { recursive: true })
    await writeFile(manager.file, manager.text(facts))
    await server.start()
    expect(await installService(parts, facts, { force: false })).toEqual({
      replaced: true,
      answers: true,
      pid: STATUS.pid
    })
    expect(await programs.asked()).toEqual([
      'launchctl bootout gui/501/flambeau.node',
      'launchctl enable gui/501/flambeau.node',
      `launchctl bootstrap gui/501 ${manager.file}`
    ])
    expect((await stat(programs.folder.file('Library', 'Logs', 'Flambeau'))).isDirectory()).toBe(true)
    expect(await viewService(parts)).toMatchObject({ installed: true, enabled: true, running: true, home: facts.home })
    await uninstallService(parts, { force: false })
    expect(await viewService(parts)).toMatchObject({ installed: false, enabled: false, running: false, pid: null })
    await expect(readFile(manager.file)).rejects.toMatchObject({ code: 'ENOENT' })
  })

  it('says with which exit code a node ends at once', async () => {
    await programs.put('print', 'gui/501/flambeau.node = {\n\tstate = not running\n\tlast exit code = 7\n}\n')
    await expect(installService(parts, facts, { force: false })).rejects.toMatchObject({
      code: 'SERVICE_FAILED',
      message: expect.stringContaining('exit code 7 (the network: port taken') as string
    })
  })

  it('logs to a file, which tail shows', () => {
    const file = programs.folder.file('Library', 'Logs', 'Flambeau', 'flambeau.log')
    expect(parts.manager.logCommand({ lines: 5, follow: false })).toEqual(['tail', '-n', '5', file])
    expect(parts.manager.logCommand({ lines: 5, follow: true })).toEqual(['tail', '-n', '5', '-F', file])
  })
})
