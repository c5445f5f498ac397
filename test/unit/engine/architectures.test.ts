import { describe, expect, it } from 'vitest'
import { architectureOf, inputScaleOf, shardMetadataOverrides } from '../../../node/engine/architectures.js'

describe('the table of architectures', () => {
  it.each(['llama', 'qwen2', 'qwen3', 'qwen3moe', 'deepseek2', 'never-heard-of', 'constructor', '__proto__'])(
    'has no twist for %s',
    name => {
      expect(architectureOf(name)).toEqual({})
      expect(shardMetadataOverrides(name, 4)).toEqual({})
      expect(inputScaleOf(name, 64)).toBe(1)
    }
  )

  it.each([
    ['gemma', 2048],
    ['gemma2', 2304],
    ['afmoe', 1024]
  ])('undoes the scale that %s puts on any input', (name, width) => {
    expect(inputScaleOf(name, width) * Math.sqrt(width)).toBeCloseTo(1, 12)
  })

  it('leaves hidden states of gemma3 alone, whose graph scales only tokens', () => {
    expect(inputScaleOf('gemma3', 2560)).toBe(1)
  })

  it.each(['minicpm', 'granite', 'granitemoe', 'granitehybrid', 'grok'])(
    'sets the embedding scale of %s to 1 where a shard does not start with the embedding',
    name => {
      expect(shardMetadataOverrides(name, 1)).toEqual({ [`${name}.embedding_scale`]: 1 })
      expect(shardMetadataOverrides(name, 0)).toEqual({})
    }
  )

  it.each([
    ['smollm3', 4],
    ['llama4', 4],
    ['cohere2', 4],
    ['olmo2', 4],
    ['gemma2', 2],
    ['gemma3', 6],
    ['gpt-oss', 2]
  ])('knows the pattern of %s', (name, period) => {
    expect(architectureOf(name).period).toBe(period)
  })

  it.each(['gpt2', 'starcoder', 'bloom', 'minicpm3', 'smallthinker', 'talkie'])('says why %s cannot be cut', name => {
    expect(architectureOf(name).unsupported).toMatch(/^its .{20,}/)
  })

  it.each(['jamba', 'plamo2', 'lfm2', 'granitehybrid', 'kimi-linear', 'qwen35', 'qwen3next'])(
    'asks for both kinds of layer in each shard of %s',
    name => {
      expect(architectureOf(name).bothKinds).toBe(true)
    }
  )
})
