export type CheckState = 'ok' | 'warn' | 'fail'

/** One line of `flambeau doctor`. `fail` is what keeps a node from working; `warn` what makes it work badly. */
export interface Check {
  name: string
  state: CheckState
  found: string
  /** What to do; absent where nothing is. */
  advice?: string
}

export function ok(name: string, found: string): Check {
  return { name, state: 'ok', found }
}

export function warn(name: string, found: string, advice: string): Check {
  return { name, state: 'warn', found, advice }
}

export function fail(name: string, found: string, advice: string): Check {
  return { name, state: 'fail', found, advice }
}
