import { isAbsolute, join } from 'node:path'
import { FINAL_EXITS, MAX_STARTS, RESTART_SECONDS, STARTS_SECONDS, STOP_SECONDS } from './constants.js'
import { checkPaths, unwritable } from './paths.js'
import { unanswered, type Run } from './run.js'
import { STAMP, stamped } from './stamp.js'
import type { LogOptions, ServiceFacts, ServiceManager, ServiceState } from './types.js'

const UNIT = 'flambeau.service'
const PROPERTIES = ['LoadState', 'ActiveState', 'SubState', 'UnitFileState', 'MainPID', 'ExecMainStatus']

export interface SystemdPlace {
  /** Of the user. */
  homedir: string
  uid: number
  /** `XDG_CONFIG_HOME`; one that is not absolute does not count (XDG Base Directory Specification). */
  configHome: string | undefined
}

/** systemd of the user: `systemctl --user`. */
export function systemd({ homedir, uid, configHome = '' }: SystemdPlace): ServiceManager {
  const folder = isAbsolute(configHome) ? configHome : join(homedir, '.config')
  const file = join(folder, 'systemd', 'user', UNIT)
  return {
    name: 'systemd',
    file,
    folders: [],
    text: systemdUnit,
    homeIn: homeInUnit,
    install: [
      { command: systemctl('daemon-reload') },
      // By its path: the manager may look elsewhere than this shell's XDG_CONFIG_HOME says, and then links it.
      { command: systemctl('enable', file) },
      { command: systemctl('restart', UNIT) }
    ],
    stop: [{ command: systemctl('disable', '--now', UNIT) }],
    forget: [{ command: systemctl('daemon-reload') }, { command: systemctl('reset-failed', UNIT), mayFail: true }],
    state: systemdState,
    advice: run => lingerAdvice(run, uid),
    logCommand: journal
  }
}

function systemctl(...args: string[]): string[] {
  return ['systemctl', '--user', ...args]
}

/** The unit's text. See systemd.service(5) and, for the quotes, systemd.syntax(7). */
export function systemdUnit(facts: ServiceFacts): string {
  const { node, entry, home } = checkPaths(facts)
  // systemd refuses them in a program's name, escaped or not; arguments may have them.
  if (/["'\\]/.test(node)) throw unwritable(node, 'quotes and backslashes')
  return stamped(`# ${STAMP}
[Unit]
Description=Flambeau node
StartLimitIntervalSec=${STARTS_SECONDS}
StartLimitBurst=${MAX_STARTS}

[Service]
Type=exec
Environment=${quoted(`FLAMBEAU_HOME=${home}`)}
ExecStart=${quoted(node)} ${argument(entry)} up
Restart=on-failure
RestartSec=${RESTART_SECONDS}
RestartPreventExitStatus=${FINAL_EXITS.join(' ')}
KillMode=mixed
KillSignal=SIGTERM
TimeoutStopSec=${STOP_SECONDS}
NoNewPrivileges=true

[Install]
WantedBy=default.target
`)
}

/** One word, with neither escapes nor specifiers (`%h`) in it. */
function quoted(text: string): string {
  return `"${text.replaceAll(/[\\"]/g, '\\$&').replaceAll('%', '%%')}"`
}

/** As `quoted`, where systemd puts in variables too: behind the program of a command line, but not in its own path. */
function argument(text: string): string {
  return quoted(text).replaceAll('$', '$$$$')
}

function homeInUnit(text: string): string | undefined {
  const [, found] = /^Environment="FLAMBEAU_HOME=((?:[^"\\]|\\.)*)"$/m.exec(text) ?? []
  return found?.replaceAll(/\\(.)/g, '$1').replaceAll('%%', '%')
}

async function systemdState(run: Run): Promise<ServiceState> {
  const shown = await run(systemctl('show', UNIT, `--property=${PROPERTIES.join(',')}`))
  if (shown.code !== 0) throw unanswered('systemctl --user', shown)
  const lines = shown.stdout.split('\n').map(line => line.split('=', 2) as [string, string | undefined])
  const { LoadState, ActiveState, SubState, UnitFileState, MainPID, ExecMainStatus } = Object.fromEntries(lines)
  const pid = Number(MainPID ?? 0)
  return {
    loaded: LoadState === 'loaded',
    enabled: UnitFileState === 'enabled',
    running: ActiveState === 'active',
    failed: ActiveState === 'failed' || SubState === 'auto-restart',
    pid: pid > 0 ? pid : undefined,
    exitCode: ExecMainStatus === undefined ? undefined : Number(ExecMainStatus)
  }
}

/** A user's services end with the last session of the user, unless the user lingers. */
async function lingerAdvice(run: Run, uid: number): Promise<string[]> {
  const answer = await run(['loginctl', 'show-user', String(uid), '--property=Linger']).catch(() => undefined)
  if (answer?.stdout.trim() !== 'Linger=no') return []
  return ['It runs while you are logged in. To run it from boot on: `loginctl enable-linger`.']
}

function journal({ lines, follow }: LogOptions): string[] {
  const command = ['journalctl', '--user', '-u', UNIT, '--output=cat', `--lines=${lines}`]
  return follow ? [...command, '--follow'] : [...command, '--no-pager']
}
