import { once } from 'node:events'
import { painter, type Paint } from './render/colour.js'

export interface Streams {
  stdout: NodeJS.WriteStream
  stderr: NodeJS.WriteStream
}

/** Results go to standard output; everything else, progress and notes, to standard error. */
export class Output {
  readonly stdout: NodeJS.WriteStream
  readonly stderr: NodeJS.WriteStream
  /** Paint for each of the two: either may be a file. */
  readonly paint: Paint
  readonly paintNote: Paint

  constructor({ stdout, stderr }: Streams, env: Readonly<Record<string, string | undefined>>) {
    this.stdout = stdout
    this.stderr = stderr
    this.paint = painter(stdout, env)
    this.paintNote = painter(stderr, env)
  }

  lines(lines: readonly string[]): void {
    if (lines.length > 0) this.stdout.write(`${lines.join('\n')}\n`)
  }

  /** One document. */
  json(value: unknown): void {
    this.stdout.write(`${JSON.stringify(value, undefined, this.stdout.isTTY ? 2 : undefined)}\n`)
  }

  /** The same facts for a program or for a person. */
  result(json: boolean | undefined, value: unknown, lines: (paint: Paint) => readonly string[]): void {
    if (json) this.json(value)
    else this.lines(lines(this.paint))
  }

  /** Part of an answer, no faster than it is read. */
  async text(text: string): Promise<void> {
    if (!this.stdout.write(text)) await once(this.stdout, 'drain')
  }

  notes(lines: readonly string[]): void {
    if (lines.length > 0) this.stderr.write(`${lines.join('\n')}\n`)
  }
}
