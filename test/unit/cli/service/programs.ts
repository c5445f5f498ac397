import { chmod, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { temporaryFolder, type TemporaryFolder } from '../../../support/temporary.js'

/** Programs of a service manager that are scripts: they write down what they are asked, and answer as they are told. */
export interface FakePrograms extends AsyncDisposable {
  folder: TemporaryFolder
  /** To find them first. */
  path: string
  /** Their command lines so far, but for questions about the state. */
  asked: () => Promise<string[]>
  /** Writes a file into the folder that `$FAKE` names in a script. */
  put: (name: string, text: string) => Promise<void>
}

/**
 * @param scripts - what each does, in the words of sh
 * @param question - what every question about the state begins with
 */
export async function fakePrograms(scripts: Record<string, string>, question: string): Promise<FakePrograms> {
  const folder = await temporaryFolder()
  const log = folder.file('log')
  await writeFile(log, '')
  for (const [name, body] of Object.entries(scripts)) {
    const begin = `#!/bin/sh\nPATH=/usr/bin:/bin FAKE='${folder.path}'\necho "${name} $*" >> "$FAKE/log"\n`
    await writeFile(folder.file(name), `${begin}${body}\n`)
    await chmod(folder.file(name), 0o755)
  }
  return {
    folder,
    path: folder.path,
    asked: async () =>
      (await readFile(log, 'utf8')).split('\n').filter(line => line !== '' && !line.startsWith(question)),
    put: (name, text) => writeFile(join(folder.path, name), text),
    [Symbol.asyncDispose]: () => folder.remove()
  }
}
