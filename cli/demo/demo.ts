export interface DemoOptions {
  prompts?: string[]
  json: boolean
  signal: AbortSignal
}

/** Three nodes on this machine, as separate processes, answer questions together. */
export function runDemo({ signal }: DemoOptions): Promise<void> {
  signal.throwIfAborted()
  return Promise.reject(new Error('the demo is not there yet'))
}
