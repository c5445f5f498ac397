import { stringify } from 'smol-toml'
import { nameOfMachine, SETTINGS } from '../../node/config-schema.js'
import { createMembership, membershipFromInvitation, type Membership } from '../../node/swarm/membership.js'
import { INVITATION_PREFIX } from '../../protocol/invitation.js'
import { nameArgument } from '../arguments.js'
import { usage } from '../errors.js'

/** Settings that a new node's owner is asked for. */
export const ASKED = ['share.memory', 'schedule.yield'] as const

export type AskedSetting = (typeof ASKED)[number]

/** For config.toml; those that were not asked for are missing. */
export type AskedSettings = Partial<Record<AskedSetting, string | boolean>>

/** One question: asked until `read` takes the answer. */
export interface Question<T> {
  lines: readonly string[]
  /** What Enter stands for. */
  fallback: string
  /** Throws an error that says what is wrong. */
  read: (answer: string) => T
}

export function swarmQuestion(): Question<Membership> {
  return {
    lines: [
      'Which swarm? Paste an invitation to join one, or give a name to begin one.',
      'One that you begin is closed: only who has an invitation gets in. For an open one there is `flambeau swarm create`.'
    ],
    fallback: nameOfMachine(),
    read: readSwarm
  }
}

/** An invitation, or the name of a swarm to begin. */
function readSwarm(answer: string): Membership {
  if (answer.toLowerCase().includes(INVITATION_PREFIX)) return membershipFromInvitation(answer)
  return createMembership(nameArgument(answer), { closed: true })
}

/** @param now - what `auto` comes to at the moment, for people */
export function memoryQuestion(now: string): Question<string> {
  return {
    lines: ['How much memory for layers of models?', `A size such as 8GiB; auto is 60 % of what is free, ${now} now.`],
    fallback: 'auto',
    read: readMemory
  }
}

/** As it is typed: config.toml is for people. */
function readMemory(answer: string): string {
  const { schema, allowed } = SETTINGS['share.memory']
  if (schema.safeParse(answer).success) return answer
  throw usage(`Must be ${allowed}.`)
}

export function yieldQuestion(): Question<boolean> {
  return {
    lines: ['Pause while other programs use this machine heavily? yes or no.'],
    fallback: 'no',
    read: readYesOrNo
  }
}

function readYesOrNo(answer: string): boolean {
  if (/^y(es)?$/i.test(answer)) return true
  if (/^no?$/i.test(answer)) return false
  throw usage('Must be yes or no.')
}

/** The text of config.toml. */
export function configText(settings: AskedSettings): string {
  const tables: Record<string, Record<string, unknown>> = {}
  for (const key of ASKED) {
    const [table = '', name = ''] = key.split('.')
    if (settings[key] !== undefined) tables[table] = { ...tables[table], [name]: settings[key] }
  }
  return `# Written by the first \`flambeau up\`. Every setting is in docs/operations.md; a restart reads them again.\n\n${stringify(tables)}`
}
