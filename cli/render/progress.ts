/** Long work, shown. `total` 0 means that nobody knows yet. */
export interface Progress {
  update(label: string, done: number, total: number): void
  end(): void
}

interface Screen {
  isTTY?: boolean
  write(text: string): unknown
}

/** Of the whole, between two plain lines. */
const PLAIN_STEP = 0.1

/** A bar on a terminal; a line at the start of each phase and every tenth of it elsewhere. */
export async function createProgress(screen: NodeJS.WriteStream): Promise<Progress> {
  return screen.isTTY ? await barProgress(screen) : plainProgress(screen)
}

export function plainProgress(screen: Screen): Progress {
  let label: string | undefined
  let next = 0
  return {
    update(current, done, total) {
      const fraction = total > 0 ? Math.min(done / total, 1) : 0
      if (current !== label) [label, next] = [current, 0]
      if (fraction < next) return
      next = Math.floor(fraction / PLAIN_STEP + 1) * PLAIN_STEP
      screen.write(total > 0 ? `${current}: ${Math.round(fraction * 100)} %\n` : `${current}\n`)
    },
    end: () => undefined
  }
}

async function barProgress(stream: NodeJS.WriteStream): Promise<Progress> {
  const { default: cliProgress } = await import('cli-progress')
  const options = { stream, format: '{bar} {percentage} % {label}', hideCursor: true, clearOnComplete: true }
  const bar = new cliProgress.SingleBar(options, cliProgress.Presets.shades_classic)
  let started = false
  return {
    update(label, done, total) {
      if (!started) bar.start(Math.max(total, 1), 0, { label })
      started = true
      bar.setTotal(Math.max(total, 1))
      bar.update(done, { label })
    },
    end() {
      if (started) bar.stop()
      started = false
    }
  }
}
