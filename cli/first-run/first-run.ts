import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import type { ConfigFlags } from '../../node/config.js'
import { SETTINGS } from '../../node/config-schema.js'
import { prepareHome } from '../../node/home.js'
import { saveMembership, type Membership } from '../../node/swarm/membership.js'
import type { Context } from '../context.js'
import { requireMembership } from '../membership.js'
import { printable } from '../render/format.js'
import { ASKED, configText, type AskedSetting, type AskedSettings } from './answers.js'
import { askFirst, type FirstAnswers } from './ask.js'

export interface FirstRunOptions {
  /** What the command line says. */
  flags: ConfigFlags
  json: boolean | undefined
}

/**
 * This home's membership; where there is none and somebody is at the terminal, what they answer is kept.
 * @throws CliError NO_SWARM where nobody can be asked, INTERRUPTED
 */
export async function membershipForNode(context: Context, { flags, json }: FirstRunOptions): Promise<Membership> {
  if (existsSync(context.home.swarmFile) || !canAsk(context, json)) return requireMembership(context)
  const answers = await askFirst(context, openSettings(context, flags))
  await keep(context, answers)
  const { name } = answers.membership
  context.output.lines(['', `This node is now a member of ${printable(name)}. It starts ...`])
  return answers.membership
}

/** Somebody is there who can answer. */
function canAsk({ stdin, output }: Context, json = false): boolean {
  return !json && stdin.isTTY && output.stdout.isTTY
}

/** What nobody has decided yet: not on the command line, in the environment or in a file, which stays as it is. */
function openSettings({ home, env }: Context, flags: ConfigFlags): AskedSetting[] {
  if (existsSync(home.configFile)) return []
  return ASKED.filter(key => flags[key] === undefined && (env[SETTINGS[key].environment] ?? '') === '')
}

/** The membership comes last: without it the next start asks again. */
async function keep({ home }: Context, { membership, settings }: FirstAnswers): Promise<void> {
  prepareHome(home)
  if (Object.keys(settings).length > 0) await writeConfig(home.configFile, settings)
  await saveMembership(home.swarmFile, membership)
}

async function writeConfig(file: string, settings: AskedSettings): Promise<void> {
  try {
    await writeFile(file, configText(settings), { flag: 'wx', mode: 0o600 })
  } catch (error) {
    // Its owner was faster.
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
}
