import { othersShare, type CpuReading } from './cpu.js'

export interface LoadParts {
  readCpu: () => CpuReading
  /** The part of the GPUs that is busy, with whatever; undefined where it cannot be seen. */
  readGpu: () => Promise<number | undefined>
  /** Sessions are here, so that this node may be what computes. */
  computing: () => boolean
  /** This node computes on a GPU when it computes. */
  usesGpu: () => boolean
}

/** Measures how much of the machine others use. */
export class Load {
  readonly #parts: LoadParts
  #last: { cpu: CpuReading; computing: boolean } | undefined

  constructor(parts: LoadParts) {
    this.#parts = parts
  }

  /** The larger part, 0 to 1, of processors and GPUs that others used since the last call; undefined where unseen. */
  async measure(): Promise<number | undefined> {
    const before = this.#last
    const now = { cpu: this.#parts.readCpu(), computing: this.#parts.computing() }
    this.#last = now
    const cpu = before && othersShare(before.cpu, now.cpu, before.computing || now.computing)
    const seen = [cpu, await this.#gpu()].filter(share => share !== undefined)
    return seen.length === 0 ? undefined : Math.max(...seen)
  }

  /** A GPU says how busy it is, not with whom: that tells something only while this node computes nothing. */
  async #gpu(): Promise<number | undefined> {
    const { computing, usesGpu, readGpu } = this.#parts
    if (!usesGpu() || computing()) return undefined
    const share = await readGpu()
    return computing() ? undefined : share
  }
}
