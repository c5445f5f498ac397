import { homedir } from 'node:os'
import { fileURLToPath } from 'node:url'
import { SETTING_KEYS, SETTINGS } from '../../node/config-schema.js'
import type { Context } from '../context.js'
import { serviceManager } from './manager.js'
import type { ServiceFacts, ServiceManager } from './types.js'

/** The service manager of this machine. @throws ServiceError SERVICE_UNSUPPORTED */
export function managerHere({ env }: Pick<Context, 'env'>): ServiceManager {
  return serviceManager({ platform: process.platform, homedir: homedir(), uid: process.getuid?.(), env })
}

/** This very program, on this home. */
export function factsHere({ home }: Pick<Context, 'home'>): ServiceFacts {
  return {
    node: process.execPath,
    entry: fileURLToPath(new URL('../main.js', import.meta.url)),
    home: home.path
  }
}

/** Settings that a node started here would have and the service has not: its environment is another one. */
export function settingsLeftBehind({ env }: Pick<Context, 'env'>): string[] {
  return SETTING_KEYS.map(key => SETTINGS[key].environment).filter(name => (env[name] ?? '') !== '')
}
