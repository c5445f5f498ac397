import { describe, expect, it } from 'vitest'
import type { Tokenizer } from '../../../node/engine/types.js'
import { TokenizerCache } from '../../../node/pipeline/tokenizer-cache.js'

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
  return { log, tokenizers: new TokenizerCache({ openTokenizer }) }
}

describe('TokenizerCache', () => {
  it('opens each once, also when two ask at the same time', async () => {
    const { log, tokenizers } = cache()
    const [one, two] = await Promise.all([tokenizers.get('a'), tokenizers.get('a')])
    expect(one).toBe(two)
    expect(await tokenizers.get('a')).toBe(one)
    expect(log).toEqual(['open a'])
  })

  it('keeps the two that were used last', async () => {
    const { log, tokenizers } = cache()
    for (const file of ['a', 'b', 'a', 'c', 'a']) await tokenizers.get(file)
    expect(log).toEqual(['open a', 'open b', 'open c', 'close b'])
  })

  it('forgets one that could not be opened, so that it is tried again', async () => {
    const { log, tokenizers } = cache()
    await expect(tokenizers.get('broken')).rejects.toThrow('no vocabulary')
    await expect(tokenizers.get('broken')).rejects.toThrow('no vocabulary')
    expect(log).toEqual(['open broken', 'open broken'])
  })

  it('opens one again after it was dropped, and closes all at the end', async () => {
    const { log, tokenizers } = cache()
    await tokenizers.get('a')
    await tokenizers.drop('a')
    await tokenizers.drop('never opened')
    await tokenizers.get('a')
    await tokenizers.get('b')
    await tokenizers.stop()
    await tokenizers.stop()
    expect(log).toEqual(['open a', 'close a', 'open a', 'open b', 'close a', 'close b'])
  })
})
