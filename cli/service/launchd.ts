import { join } from 'node:path'
import { RESTART_SECONDS, STOP_SECONDS } from './constants.js'
import { checkPaths } from './paths.js'
import type { Run } from './run.js'
import { STAMP, stamped } from './stamp.js'
import type { LogOptions, ServiceFacts, ServiceManager, ServiceState } from './types.js'

const LABEL = 'flambeau.node'

export interface LaunchdPlace {
  /** Of the user. */
  homedir: string
  uid: number
}

/** launchd's agents of the user who is logged in on the screen. */
export function launchd({ homedir, uid }: LaunchdPlace): ServiceManager {
  const file = join(homedir, 'Library', 'LaunchAgents', `${LABEL}.plist`)
  const logFolder = join(homedir, 'Library', 'Logs', 'Flambeau')
  const logFile = join(logFolder, 'flambeau.log')
  const domain = `gui/${uid}`
  const unload = { command: ['launchctl', 'bootout', `${domain}/${LABEL}`], mayFail: true, untilUnloaded: true }
  return {
    name: 'launchd',
    file,
    folders: [logFolder],
    text: facts => launchAgent(facts, logFile),
    homeIn: homeInAgent,
    install: [
      unload,
      { command: ['launchctl', 'enable', `${domain}/${LABEL}`] },
      { command: ['launchctl', 'bootstrap', domain, file] }
    ],
    stop: [unload],
    forget: [],
    state: run => launchdState(run, `${domain}/${LABEL}`),
    advice: () => Promise.resolve(['It runs while you are logged in.']),
    logCommand: ({ lines, follow }: LogOptions) => ['tail', '-n', String(lines), ...(follow ? ['-F'] : []), logFile]
  }
}

/** The property list. See launchd.plist(5); it knows no exit codes after which starting again is in vain. */
export function launchAgent(facts: ServiceFacts, logFile: string): string {
  const { node, entry, home } = checkPaths(facts)
  const words = [node, entry, 'up'].map(word => `    <string>${escaped(word)}</string>`).join('\n')
  return stamped(`<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<!-- ${STAMP} -->
<plist version="1.0">
<dict>
  <key>Label</key>
  <string>${LABEL}</string>
  <key>ProgramArguments</key>
  <array>
${words}
  </array>
  <key>EnvironmentVariables</key>
  <dict>
    <key>FLAMBEAU_HOME</key>
    <string>${escaped(home)}</string>
  </dict>
  <key>RunAtLoad</key>
  <true/>
  <key>KeepAlive</key>
  <dict>
    <key>SuccessfulExit</key>
    <false/>
  </dict>
  <key>ThrottleInterval</key>
  <integer>${RESTART_SECONDS}</integer>
  <key>ExitTimeOut</key>
  <integer>${STOP_SECONDS}</integer>
  <key>StandardOutPath</key>
  <string>${escaped(logFile)}</string>
  <key>StandardErrorPath</key>
  <string>${escaped(logFile)}</string>
</dict>
</plist>
`)
}

const ENTITIES: readonly (readonly [string, string])[] = [
  ['&', '&amp;'],
  ['<', '&lt;'],
  ['>', '&gt;'],
  ['"', '&quot;'],
  ["'", '&apos;']
]

function escaped(text: string): string {
  return ENTITIES.reduce((escaping, [character, entity]) => escaping.replaceAll(character, entity), text)
}

/** The other way, and the other way round: `&amp;lt;` is no bracket. */
function plain(text: string): string {
  return ENTITIES.toReversed().reduce((escaping, [character, entity]) => escaping.replaceAll(entity, character), text)
}

function homeInAgent(text: string): string | undefined {
  const [, found] = /<key>FLAMBEAU_HOME<\/key>\s*<string>([^<]*)<\/string>/.exec(text) ?? []
  return found === undefined ? undefined : plain(found)
}

/** `launchctl print` is for people, but nothing else tells the process id and the exit code. */
async function launchdState(run: Run, target: string): Promise<ServiceState> {
  const { code, stdout } = await run(['launchctl', 'print', target])
  const field = (name: string): string | undefined => new RegExp(`^\\s*${name} = (.*)$`, 'm').exec(stdout)?.[1]
  const loaded = code === 0
  const pid = Number(field('pid') ?? 0)
  const last = Number(field('last exit code'))
  const exitCode = Number.isInteger(last) ? last : undefined
  const running = loaded && pid > 0
  return {
    loaded,
    enabled: loaded,
    running,
    failed: loaded && !running && (exitCode ?? 0) !== 0,
    pid: pid > 0 ? pid : undefined,
    exitCode
  }
}
