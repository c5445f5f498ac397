import { Option, type Command } from 'commander'
import type { SamplingRequest } from '../node/control/contract.js'
import type { Dtype } from '../node/engine/types.js'
import { collected, numberBetween, wholeBetween } from './arguments.js'

/** What `run` and `chat` have in common. */
export interface AnswerOptions {
  temperature?: number
  topK?: number
  topP?: number
  minP?: number
  repeatPenalty?: number
  seed?: number
  stop?: string[]
  maxTokens?: number
  system?: string
  dtype?: Dtype
  stats?: boolean
  json?: boolean
}

const FRACTION = { minimum: 0, maximum: 1 }

export function addAnswerOptions(command: Command): Command {
  return command
    .option('--temperature <number>', '0 always takes the likeliest token', numberBetween({ minimum: 0, maximum: 100 }))
    .option('--top-k <count>', 'among the likeliest tokens only; 0 is no limit', wholeBetween(0, 1_000_000))
    .option('--top-p <fraction>', 'among the likeliest that have this probability together', numberBetween(FRACTION))
    .option(
      '--min-p <fraction>',
      "among those with this part of the likeliest one's probability",
      numberBetween(FRACTION)
    )
    .option(
      '--repeat-penalty <number>',
      'against repetition; 1 is none',
      numberBetween({ minimum: 0.01, maximum: 100 })
    )
    .option('--seed <number>', 'the same seed gives the same answer', wholeBetween(0, 0xffff_ffff))
    .option('--stop <text>', 'ends the answer before this text; may be repeated', collected)
    .option('--max-tokens <count>', 'ends the answer after so many tokens', wholeBetween(1, 2 ** 22))
    .option('--system <text>', 'instructions that stand before the conversation')
    .addOption(new Option('--dtype <type>', 'numbers between nodes').choices(['f32', 'f16']))
    .option('--stats', 'more about where the time went')
}

export function samplingOf(options: AnswerOptions): SamplingRequest {
  const { temperature, topK, topP, minP, repeatPenalty, seed, stop, maxTokens } = options
  return {
    ...(temperature !== undefined && { temperature }),
    ...(topK !== undefined && { topK }),
    ...(topP !== undefined && { topP }),
    ...(minP !== undefined && { minP }),
    ...(repeatPenalty !== undefined && { repeatPenalty }),
    ...(seed !== undefined && { seed }),
    ...(stop !== undefined && { stop }),
    ...(maxTokens !== undefined && { maxTokens })
  }
}
