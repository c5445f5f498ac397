/** How busy the machine's GPUs are, with whatever. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { GPU_MS } from './constants.js'

const QUERY = ['--query-gpu=utilization.gpu', '--format=csv,noheader,nounits']

/**
 * The busiest NVIDIA GPU, 0 to 1, over the last second or less; undefined where none says so. Other makers' GPUs are not
 * seen. Not systeminformation's `graphics()`: it starts half a dozen programs for things that do not change.
 */
export async function readGpu(): Promise<number | undefined> {
  try {
    const { stdout } = await promisify(execFile)('nvidia-smi', QUERY, { timeout: GPU_MS, windowsHide: true })
    return busiest(stdout)
  } catch {
    return undefined // no such program, or no driver
  }
}

/** One line a GPU: percent, or words where it cannot be told. */
export function busiest(output: string): number | undefined {
  const percents = output.split('\n').flatMap(line => (/^\d+$/.test(line.trim()) ? [Number(line)] : []))
  return percents.length === 0 ? undefined : Math.min(1, Math.max(...percents) / 100)
}
