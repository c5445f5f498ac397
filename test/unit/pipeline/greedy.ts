import { DEFAULT_SAMPLING, type SamplingOptions } from '../../../node/pipeline/sampling.js'

/** The likeliest token, always. */
export const GREEDY: SamplingOptions = { ...DEFAULT_SAMPLING, temperature: 0, topK: 0, topP: 1, minP: 0, seed: 1 }
