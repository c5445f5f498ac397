import { describe, expect, it } from 'vitest'
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
    return Promise.resolve({ close, isLost: false } as Tokenizer)
  }
  const tokenizers = new TokenizerCache({ openTokenizer })
  const get = async (headerFile: string): Promise<Tokenizer> => {
    using borrowed = await tokenizers.borrow(headerFile, options)
    return borrowed.tokenizer
  }
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
    const borrowed = await Promise.all(['a', 'b', 'c'].map(file => tokenizers.borrow(file, options)))
    await get('d')
    await expect.poll(() => log).toEqual(['open a', 'open b', 'open c', 'open d', 'close d'])
    for (const one of borrowed) one[Symbol.dispose]()
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
    const borrowed = [await tokenizers.borrow('a', options), await tokenizers.borrow('a', options)]
    Object.assign(borrowed[0]?.tokenizer ?? {}, { isLost: true })
    borrowed[0]?.[Symbol.dispose]()
    const again = await get('a')
    expect(again).not.toBe(borrowed[1]?.tokenizer)
    borrowed[1]?.[Symbol.dispose]()
    expect(await get('a')).toBe(again)
    await expect.poll(() => log).toEqual(['open a', 'open a', 'close a'])
  })

  it('does not wait for one longer than whoever asked', async () => {
    const tokenizers = new TokenizerCache({ openTokenizer: () => new Promise(() => undefined) })
    const controller = new AbortController()
    const using = tokenizers.borrow('a', { signal: controller.signal })
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
