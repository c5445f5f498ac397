import { z } from 'zod'
import { MAX_DRAIN_MS, MAX_PAUSE_MS } from '../availability/constants.js'
import { MAX_NAME_BYTES, MAX_WANTED_IDS } from '../../protocol/limits.js'
import type { GenerateRequest, PauseRequest, ShareRequest, StopRequest } from './contract.js'
import { MAX_TOKENS, MAX_WAIT_SECONDS } from './limits.js'
import type { PlanRequest } from './plan.js'

/** The most characters of a path or a name. */
export const MAX_SHORT = 4096
const MAX_STOP_STRINGS = 16
const MAX_MESSAGES = 4096
/** As in OpenAI's interface. */
const MAX_PENALTY = 2
const MAX_BIAS = 100
export const MAX_LOGPROBS = 20

// Plain JSON has no undefined: an optional key is absent or has a value.
const layer = z.int().min(0).max(65_536)
const short = z.string().min(1).max(MAX_SHORT)
const text = z.string()
const tokens = z.int().min(1).max(MAX_TOKENS)

/** Body of `POST /v1/share`. */
export const shareRequest = z.strictObject({
  file: short,
  name: z.string().min(1).max(MAX_NAME_BYTES).exactOptional(),
  layers: z.strictObject({ start: layer, end: layer }).exactOptional()
}) satisfies z.ZodType<ShareRequest>

const sampling = z.strictObject({
  temperature: z.number().min(0).max(100).exactOptional(),
  topK: z.int().min(0).max(1_000_000).exactOptional(),
  topP: z.number().min(0).max(1).exactOptional(),
  minP: z.number().min(0).max(1).exactOptional(),
  repeatPenalty: z.number().min(1).max(100).exactOptional(),
  presencePenalty: z.number().min(-MAX_PENALTY).max(MAX_PENALTY).exactOptional(),
  frequencyPenalty: z.number().min(-MAX_PENALTY).max(MAX_PENALTY).exactOptional(),
  logitBias: z
    .record(z.string().regex(/^\d{1,7}$/), z.number().min(-MAX_BIAS).max(MAX_BIAS))
    .refine(bias => Object.keys(bias).length <= MAX_WANTED_IDS, { error: `at most ${MAX_WANTED_IDS} tokens` })
    .exactOptional(),
  logprobs: z.int().min(0).max(MAX_LOGPROBS).exactOptional(),
  seed: z.int().min(0).max(0xffff_ffff).exactOptional(),
  stop: z.array(short).max(MAX_STOP_STRINGS).exactOptional(),
  maxTokens: tokens.exactOptional()
})

/** Tools of one request, and calls of one turn. */
export const MAX_TOOLS = 128

/** OpenAI's rule. */
export const toolName = z.string().regex(/^[\w-]{1,64}$/, 'names have 1 to 64 letters, digits, _ and -')

const toolCall = z.strictObject({ id: short, name: toolName, arguments: text })
const chatMessage = z.discriminatedUnion('role', [
  z.strictObject({ role: z.enum(['system', 'user']), content: text }),
  z.strictObject({
    role: z.literal('assistant'),
    content: text,
    toolCalls: z.array(toolCall).max(MAX_TOOLS).exactOptional()
  }),
  z.strictObject({ role: z.literal('tool'), content: text, toolCall: short })
])
const tool = z.strictObject({
  name: toolName,
  description: text.exactOptional(),
  parameters: z.record(z.string(), z.unknown()).exactOptional()
})

/** Body of `POST /v1/generate`. */
export const generateRequest = z
  .strictObject({
    model: short,
    prompt: text.exactOptional(),
    raw: z.boolean().exactOptional(),
    messages: z.array(chatMessage).min(1).max(MAX_MESSAGES).exactOptional(),
    tools: z.array(tool).min(1).max(MAX_TOOLS).exactOptional(),
    toolChoice: z.union([z.enum(['auto', 'none', 'required']), z.strictObject({ name: toolName })]).exactOptional(),
    sampling,
    format: z.strictObject({ schema: z.record(z.string(), z.unknown()) }).exactOptional(),
    dtype: z.enum(['f32', 'f16']).exactOptional(),
    replay: z.enum(['fast', 'exact']).exactOptional(),
    wait: z.number().min(0).max(MAX_WAIT_SECONDS).exactOptional()
  })
  .refine(({ prompt, messages }) => (prompt === undefined) !== (messages === undefined), {
    error: 'either prompt or messages is needed, and not both'
  }) satisfies z.ZodType<GenerateRequest>

const planned = { promptTokens: tokens.exactOptional(), maxTokens: tokens.exactOptional() }

/** Of a model that somebody shares. */
export const modelPlanRequest = z.strictObject({ model: short, ...planned }) satisfies z.ZodType<PlanRequest>

/** Body of `POST /v1/plan`. */
export const planRequest = z
  .strictObject({ model: short.exactOptional(), file: short.exactOptional(), ...planned })
  .refine(({ model, file }) => (model === undefined) !== (file === undefined), {
    error: 'either model or file is needed, and not both'
  }) satisfies z.ZodType<PlanRequest>

/** Body of `POST /v1/stop`. */
export const stopRequest = z.strictObject({
  drainSeconds: z
    .number()
    .min(0)
    .max(MAX_DRAIN_MS / 1_000)
}) satisfies z.ZodType<StopRequest>

/** Body of `POST /v1/pause`. */
export const pauseRequest = z.strictObject({
  seconds: z
    .number()
    .positive()
    .max(MAX_PAUSE_MS / 1_000)
    .exactOptional()
}) satisfies z.ZodType<PauseRequest>

/** Parameters of `DELETE /v1/models/:model`. */
export const modelParameters = z.strictObject({ model: short })
