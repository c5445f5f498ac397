import { accessSync, constants } from 'node:fs'
import { type Browser, chromium } from 'playwright-core'

const USUAL = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome', '/snap/bin/chromium']

/** Where the browser is: `CHROMIUM_PATH`, whether it is there or not, or where it usually is; undefined: there is none. */
export function chromiumPath(): string | undefined {
  const { CHROMIUM_PATH: named } = process.env
  return named ?? USUAL.find(isProgram)
}

/** Why there are no tests with a browser on this machine; undefined: there are. */
export function chromiumObstacle(): string | undefined {
  if (chromiumPath() !== undefined) return undefined
  return "needs Chromium: the Debian package chromium, or CHROMIUM_PATH with the program's path"
}

/** As root it has no sandbox of its own. */
export async function launchChromium(): Promise<Browser> {
  const args = process.getuid?.() === 0 ? ['--no-sandbox'] : []
  return chromium.launch({ executablePath: chromiumPath() ?? '', args })
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
