import koffi from 'koffi'
import type { Batch } from './layout.js'
import type { Pointer } from './llama.js'
import type { EngineStep } from './types.js'

/** M-RoPE: time, height, width and one more; text has the same position in the first three and 0 in the last. */
const MROPE_SECTIONS = 4

/** The arrays that a `llama_batch` points to, made once for the largest decode of a context. */
export class RowBuffers {
  /** Token ids, `[rows]`. */
  readonly token: Int32Array
  /** Hidden states, `[rows, width]`. */
  readonly embd: Float32Array
  readonly #pos: Int32Array
  readonly #sequenceIds: Int32Array
  readonly #idCounts: Int32Array
  readonly #idPointers: BigUint64Array
  readonly #output: Int8Array
  readonly #addresses: { token: Pointer; embd: Pointer; ids: Pointer; rest: Omit<Batch, 'n_tokens' | 'token' | 'embd'> }

  constructor({ batch, width, sequences }: { batch: number; width: number; sequences: number }) {
    // Each has an ArrayBuffer of its own from the start: V8 may move the contents of small typed arrays that have none.
    this.token = new Int32Array(new ArrayBuffer(4 * batch))
    this.embd = new Float32Array(new ArrayBuffer(4 * batch * width))
    this.#pos = new Int32Array(new ArrayBuffer(4 * batch * MROPE_SECTIONS))
    this.#sequenceIds = new Int32Array(new ArrayBuffer(4 * sequences)).map((_, id) => id)
    this.#idCounts = new Int32Array(new ArrayBuffer(4 * batch)).fill(1)
    this.#idPointers = new BigUint64Array(new ArrayBuffer(8 * batch))
    this.#output = new Int8Array(new ArrayBuffer(batch))
    this.#addresses = {
      token: koffi.address(this.token),
      embd: koffi.address(this.embd),
      ids: koffi.address(this.#sequenceIds),
      rest: {
        pos: koffi.address(this.#pos),
        n_seq_id: koffi.address(this.#idCounts),
        seq_id: koffi.address(this.#idPointers),
        logits: koffi.address(this.#output)
      }
    }
  }

  /**
   * Positions, sequences and outputs of `steps`, laid out one after the other. Without the head every row is an output,
   * so that the last layer keeps all rows. @returns the number of rows.
   */
  describe(steps: EngineStep[], { head, mrope }: { head: boolean; mrope: boolean }): number {
    const rows = steps.reduce((sum, step) => sum + step.rows, 0)
    this.#output.fill(head ? 0 : 1, 0, rows)
    let row = 0
    for (const step of steps) {
      const id = this.#addresses.ids + BigInt(4 * step.sequence)
      this.#idPointers.fill(id, row, row + step.rows)
      for (let n = 0; n < step.rows; n++) this.#pos[row + n] = step.position + n
      row += step.rows
      if (head) this.#output.fill(1, row - step.want.rows, row)
    }
    if (mrope && steps[0]?.hidden !== undefined) {
      this.#pos.copyWithin(rows, 0, rows)
      this.#pos.copyWithin(2 * rows, 0, rows)
      this.#pos.fill(0, 3 * rows, 4 * rows)
    }
    return rows
  }

  batch(rows: number, tokens: boolean): Batch {
    const { token, embd, rest } = this.#addresses
    return { n_tokens: rows, token: tokens ? token : null, embd: tokens ? null : embd, ...rest }
  }
}
