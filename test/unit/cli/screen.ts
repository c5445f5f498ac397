import { PassThrough, Writable } from 'node:stream'
import type { Context } from '../../../cli/context.js'
import { Output } from '../../../cli/output.js'
import { locateHome } from '../../../node/home.js'

/** Keeps what is written. */
export class Screen extends Writable {
  text = ''

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.text += chunk.toString()
    done()
  }
}

export interface FakeContext {
  context: Context
  stdin: PassThrough
  stdout: Screen
  stderr: Screen
}

/** A context whose streams are not a terminal. */
export function fakeContext(): FakeContext {
  const [stdin, stdout, stderr] = [new PassThrough(), new Screen(), new Screen()]
  const output = new Output(
    { stdout: stdout as unknown as NodeJS.WriteStream, stderr: stderr as unknown as NodeJS.WriteStream },
    {}
  )
  const context: Context = { env: {}, stdin: stdin as unknown as NodeJS.ReadStream, output, home: locateHome({}) }
  return { context, stdin, stdout, stderr }
}
