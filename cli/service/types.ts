import type { Run } from './run.js'

/** What a service's file is made of: absolute paths. */
export interface ServiceFacts {
  /** Node.js. */
  node: string
  /** What it runs: the compiled `cli/main.js`. */
  entry: string
  /** The data folder. */
  home: string
}

/** What the service manager says of the service. */
export interface ServiceState {
  /** It knows the service. */
  loaded: boolean
  /** It starts the service by itself. */
  enabled: boolean
  running: boolean
  /** Its process ended with an error. */
  failed: boolean
  pid: number | undefined
  /** Of the last process that ended. */
  exitCode: number | undefined
}

/** One command of the service manager. */
export interface Step {
  command: readonly string[]
  /** It fails where there is nothing to do. */
  mayFail?: boolean
  /** It returns before the process has ended, and nothing else may come before that. */
  untilUnloaded?: boolean
}

export interface LogOptions {
  lines: number
  follow: boolean
}

/** The way of one operating system. What it does is data, so that it can be shown instead of done. */
export interface ServiceManager {
  name: 'systemd' | 'launchd'
  /** Where the service's file lies. */
  file: string
  /** Folders that have to be there before it starts. */
  folders: readonly string[]
  /** The service's file. @throws ServiceError SERVICE_PATH */
  text: (facts: ServiceFacts) => string
  /** The data folder that a service's file names. */
  homeIn: (text: string) => string | undefined
  /** Once the file is written: replaces what runs. */
  install: readonly Step[]
  /** While the file is there: stops it. */
  stop: readonly Step[]
  /** Once the file is gone. */
  forget: readonly Step[]
  /** @throws ServiceError NO_SERVICE_MANAGER */
  state: (run: Run) => Promise<ServiceState>
  /** What its owner should know: when it runs. */
  advice: (run: Run) => Promise<string[]>
  logCommand: (options: LogOptions) => readonly string[]
}
