import { JSON_OPTION, type DefineCommand, type JsonOption } from '../context.js'
import { runChecks } from '../doctor/checks.js'
import type { Check, CheckState } from '../doctor/check.js'
import { EXIT } from '../exit-codes.js'
import { interruptible } from '../interrupt.js'
import type { Paint } from '../render/colour.js'
import { printable } from '../render/format.js'

export const define: DefineCommand = (command, context) => {
  command
    .option(...JSON_OPTION)
    .addHelpText('after', `\nExit code ${EXIT.ERROR} where something must be mended.`)
    .action(async ({ json }: JsonOption) => {
      using interrupt = interruptible()
      const checks: Check[] = []
      for await (const check of runChecks(context, interrupt)) {
        checks.push(check)
        if (!json) context.output.lines(checkLines(check, context.output.paint))
      }
      const healthy = checks.every(({ state }) => state !== 'fail')
      if (json) context.output.json({ healthy, checks })
      if (!healthy) process.exitCode = EXIT.ERROR
    })
}

const MARKS: Readonly<Record<CheckState, readonly [Parameters<Paint>[0], string]>> = {
  ok: ['green', 'ok  '],
  warn: ['yellow', 'warn'],
  fail: ['red', 'fail']
}

function checkLines({ name, state, found, advice }: Check, paint: Paint): string[] {
  const [style, mark] = MARKS[state]
  const line = `${paint(style, mark)}  ${name.padEnd(12)}  ${printable(found)}`
  return advice === undefined ? [line] : [line, `      ${' '.repeat(12)}  ${paint('dim', `→ ${advice}`)}`]
}
