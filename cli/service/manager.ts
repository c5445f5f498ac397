import { launchd } from './launchd.js'
import { ServiceError } from './errors.js'
import { systemd } from './systemd.js'
import type { ServiceManager } from './types.js'

export interface Machine {
  platform: NodeJS.Platform
  /** Of the user. */
  homedir: string
  /** Undefined on Windows. */
  uid: number | undefined
  env: Readonly<Record<string, string | undefined>>
}

/**
 * What runs services for a user of this machine.
 * @throws ServiceError SERVICE_UNSUPPORTED
 */
export function serviceManager({ platform, homedir, uid = 0, env }: Machine): ServiceManager {
  if (platform === 'linux') return systemd({ homedir, uid, configHome: env['XDG_CONFIG_HOME'] })
  if (platform === 'darwin') return launchd({ homedir, uid })
  const where = platform === 'win32' ? 'Task Scheduler' : 'the service manager of this system'
  throw new ServiceError(
    'SERVICE_UNSUPPORTED',
    `Services are installed with systemd on Linux and with launchd on macOS. Here, let ${where} start \`flambeau up\`.`,
    { details: { platform } }
  )
}
