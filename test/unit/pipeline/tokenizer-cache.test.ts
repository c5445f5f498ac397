import { describe, expect, it } from 'vitest'
import { EngineError } from '../../../node/engine/errors.js'
import type { Tokenizer } from '../../../node/engine/types.js'
import { TokenizerCache } from '../../../node/pipeline/tokenizer-cache.js'

const options = { signal: new AbortController().signal }

function cache() {
  const log: string[] = []
  const openTokenizer = (headerFile: string): Promise<Tokenizer> => {
    log.push(`open ${headerFile}`)
    if (headerFile === 'broken') return Promise.reject(new Error('no vocabulary'))
    const close = (): Promise<void> => {
      log.push(`close ${headerFile}`)
      return Promise.resolve()
    }
    return Promise.resolve({ close } as Tokenizer)
  }
  const tokenizers = new TokenizerCache({ openTokenizer })
  const get = (headerFile: string): Promise<Tokenizer> =>
    tokenizers.use(headerFile, tokenizer => Promise.resolve(tokenizer), options)
  return { log, tokenizers, get }
}

describe('TokenizerCache', () => {
  it('opens each once, also when two ask at the same time', async () => {
    const { log, get } = cache()
    const [one, two] = await Promise.all([get('a'), get('a')])
    expect(one).toBe(two)
    expect(await get('a')).toBe(one)
    await expect.poll(() => log).toEqual(['open a'])
  })

  it('keeps the two that were used last', async () => {
    const { log, get } = cache()
    for (const file of ['a', 'b', 'a', 'c', 'a']) await get(file)
    await expect.poll(() => log).toEqual(['open a', 'open b', 'open c', 'close b'])
  })

  it('closes none that is in use', async () => {
    const { log, tokenizers, get } = cache()
    const done = Promise.withResolvers<undefined>()
    const using = ['a', 'b', 'c'].map(file => tokenizers.use(file, () => done.promise, options))
    await get('d')
    await expect.poll(() => log).toEqual(['open a', 'open b', 'open c', 'open d', 'close d'])
    done.resolve(undefined)
    await Promise.all(using)
    await expect.poll(() => log.slice(5)).toEqual(['close a'])
  })

  it('forgets one that could not be opened, so that it is tried again', async () => {
    const { log, get } = cache()
    await expect(get('broken')).rejects.toThrow('no vocabulary')
    await expect(get('broken')).rejects.toThrow('no vocabulary')
    await expect.poll(() => log).toEqual(['open broken', 'open broken'])
  })

  it('opens one again whose process is lost, once, and leaves the new one alone', async () => {
    const { log, tokenizers, get } = cache()
    const lost = [Promise.withResolvers<undefined>(), Promise.withResolvers<undefined>()] as const
    const using = lost.map(({ promise }) => tokenizers.use('a', () => promise, options))
    const error = new EngineError('TOKENIZER_LOST', 'the process ended')
    lost[0].reject(error)
    await expect(using[0]).rejects.toBe(error)
    await get('a')
    lost[1].reject(error)
    await expect(using[1]).rejects.toBe(error)
    await get('a')
    await expect.poll(() => log).toEqual(['open a', 'open a', 'close a'])
  })

  it('does not wait for one longer than whoever asked', async () => {
    const tokenizers = new TokenizerCache({ openTokenizer: () => new Promise(() => undefined) })
    const controller = new AbortController()
    const using = tokenizers.use('a', () => Promise.resolve(), { signal: controller.signal })
    controller.abort(new Error('enough'))
    await expect(using).rejects.toThrow('enough')
  })

  it('closes all at the end', async () => {
    const { log, tokenizers, get } = cache()
    await get('a')
    await get('b')
    await tokenizers.stop()
    await tokenizers.stop()
    await expect.poll(() => log).toEqual(['open a', 'open b', 'close a', 'close b'])
  })
})
