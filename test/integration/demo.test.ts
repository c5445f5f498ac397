import { readdir, readFile } from 'node:fs/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Answer } from '../../cli/answer.js'
import { type FlambeauHome, flambeauHome } from '../support/flambeau-process.js'
import { processes } from '../support/processes.js'
import { type TemporaryFolder, temporaryFolder } from '../support/temporary.js'

interface DemoResult {
  same: boolean
  seconds: number
  answers: { prompt: string; answer: Answer; same: boolean }[]
}

let folder: TemporaryFolder
let home: FlambeauHome

beforeAll(async () => {
  folder = await temporaryFolder()
  home = await flambeauHome({ env: { TMPDIR: folder.path, TEMP: folder.path, TMP: folder.path } })
})

afterAll(async () => {
  await home[Symbol.asyncDispose]()
  await folder.remove()
})

/** No file, and no process whose home was there. */
async function nothingIsLeft(): Promise<void> {
  expect(await readdir(folder.path)).toEqual([])
  if (process.platform !== 'linux') return
  for (const { pid } of await processes()) {
    const environment = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '')
    expect(environment).not.toContain(`FLAMBEAU_HOME=${folder.path}`)
  }
}

it.each([
  ['the usual questions', [], 3],
  ['a question of one’s own', ['--prompt', 'Who are you?'], 1]
])(
  'shows three nodes that answer %s as the whole model does, and leaves nothing behind',
  async (_what, args, count) => {
    const demo = await home.json<DemoResult>(['demo', ...args])
    expect(demo.same).toBe(true)
    expect(demo.answers).toHaveLength(count)
    for (const { answer, same } of demo.answers) {
      expect(same).toBe(true)
      expect(answer.text).toMatch(/[a-z]/)
      expect(answer.route.map(({ name }) => name)).toEqual(['torch', 'lantern', 'candle'])
      expect([answer.route[0]?.start, answer.route.at(-1)?.end]).toEqual([0, 8])
    }
    await nothingIsLeft()
  }
)
