import { availableParallelism, cpus, totalmem } from 'node:os'

/** What this machine offers, without its GPUs: the engine reports those. */
export interface Hardware {
  cpu: string
  /** Physical cores that this process may use: more threads than that slow llama.cpp down. */
  cores: number
  /** Bytes, within the limit of the container if there is one. */
  memoryTotal: number
  memoryFree: number
}

export async function readHardware(): Promise<Hardware> {
  const { default: information } = await import('systeminformation')
  const [cpu, memory] = await Promise.all([information.cpu(), information.mem()])
  const limit = process.constrainedMemory()
  // Without a container's limit the answer is 0 or a number beyond any machine.
  const limited = limit > 0 && limit < totalmem()
  return {
    cpu: [cpu.manufacturer, cpu.brand].filter(part => part !== '').join(' ') || (cpus()[0]?.model ?? 'unknown'),
    cores: usable(cpu.physicalCores),
    memoryTotal: limited ? limit : memory.total,
    // Not `os.freemem`: on macOS it leaves out what the system would hand back at once.
    memoryFree: limited ? Math.min(memory.available, process.availableMemory()) : memory.available
  }
}

/** Physical cores that this process may use. */
export async function physicalCores(): Promise<number> {
  const { default: information } = await import('systeminformation')
  return usable((await information.cpu()).physicalCores)
}

/** A container or an affinity mask may leave less than the machine has; some virtual machines report no cores at all. */
function usable(physical: number): number {
  const available = availableParallelism()
  return physical > 0 ? Math.min(physical, available) : available
}
