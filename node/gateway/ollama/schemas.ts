/**
 * Bodies of requests, as Ollama's interface has them. Front-ends send many fields whether they mean something by them or
 * not: what is not supported may be there as long as it says nothing. docs/api.md tells field by field.
 */
import { z } from 'zod'
import { PENALTY_WINDOW } from '../../pipeline/sampling.js'
import { MAX_TOOLS, toolName } from '../../control/schemas.js'
import { maxTokens, samplingFields, shortText } from '../sampling.js'
import { toolFields } from '../tools.js'

const MAX_MESSAGES = 4096
/** Ollama's words for any seed, for as many tokens as the model likes, and for all that fit. */
const ANY_SEED = -1
const NO_LIMIT = -1
const FILL_CONTEXT = -2

/** Makes no difference. */
const ignored = z.unknown().optional()

/** What there is no choice about: a field may only say what is so anyway. */
function always<Value extends number | boolean>(value: Value) {
  return z.literal(value, { error: `only ${value} is supported` }).optional()
}

/** These values ask for what there is without the field. */
function orDefault<Schema extends z.ZodType<number>>(schema: Schema, values: readonly number[]) {
  return z.preprocess(value => (values.some(one => one === value) ? undefined : value), schema.optional())
}

/** Options that are refused by name unless they say nothing. */
export const UNSUPPORTED_OPTIONS = ['vocab_only', 'logits_all', 'embedding_only'] as const
export const options = z.strictObject({
  ...samplingFields,
  seed: orDefault(samplingFields.seed.unwrap(), [ANY_SEED]).optional(),
  num_predict: orDefault(maxTokens, [NO_LIMIT, FILL_CONTEXT]).optional(),
  repeat_last_n: always(PENALTY_WINDOW),
  penalize_newline: always(true),
  mirostat: always(0),
  tfs_z: always(1),
  typical_p: always(1),
  // Of mirostat, which is off.
  mirostat_tau: ignored,
  mirostat_eta: ignored,
  // How Ollama loads a model and fills its context. Here the nodes decide, and an answer ends with the context.
  num_ctx: ignored,
  num_keep: ignored,
  num_batch: ignored,
  num_gpu: ignored,
  main_gpu: ignored,
  num_thread: ignored,
  numa: ignored,
  low_vram: ignored,
  f16_kv: ignored,
  use_mmap: ignored,
  use_mlock: ignored
})

const toolCall = z.strictObject({
  id: z.string().optional(),
  type: z.literal('function').optional(),
  function: z.strictObject({
    index: ignored,
    name: toolName,
    arguments: z.record(z.string(), z.unknown())
  })
})

export const UNSUPPORTED_IN_MESSAGES = ['images', 'thinking'] as const
export const message = z.strictObject({
  role: z.enum(['system', 'user', 'assistant', 'tool'], { error: 'must be system, user, assistant or tool' }),
  content: z.string().default(''),
  tool_calls: z.array(toolCall).max(MAX_TOOLS).optional(),
  tool_name: z.string().max(256).optional(),
  tool_call_id: z.string().max(256).optional()
})

/** JSON, by a schema or not. */
const format = z.union([z.literal('json'), z.record(z.string(), z.unknown())], { error: 'must be json or a schema' })

const common = {
  model: shortText,
  options: lenient(options, [...UNSUPPORTED_OPTIONS, 'stop']).optional(),
  stream: z.boolean().optional(),
  keep_alive: ignored
}

/** Body of `POST /api/chat`. */
export const UNSUPPORTED_IN_CHAT = ['think', 'logprobs', 'top_logprobs'] as const
const EMPTY_IN_CHAT = ['tools', 'format'] as const
export const chat = z.strictObject({
  ...common,
  messages: z
    .array(lenient(message, [...UNSUPPORTED_IN_MESSAGES, 'tool_calls', 'tool_name']))
    .max(MAX_MESSAGES)
    .optional(),
  tools: toolFields.optional(),
  format: format.optional()
})
export const chatRequest = lenient(chat, [...UNSUPPORTED_IN_CHAT, ...EMPTY_IN_CHAT])

/** Body of `POST /api/generate`. */
export const UNSUPPORTED_IN_GENERATE = [
  ...(['suffix', 'images', 'template', 'context', 'think'] as const),
  ...(['logprobs', 'top_logprobs', 'width', 'height', 'steps'] as const)
] as const
export const generate = z.strictObject({
  ...common,
  prompt: z.string().optional(),
  system: z.string().optional(),
  raw: z.boolean().optional(),
  format: format.optional()
})
export const generateRequest = lenient(generate, [...UNSUPPORTED_IN_GENERATE, 'format'])

/** Body of `POST /api/show`. */
export const UNSUPPORTED_IN_SHOW = ['system', 'template', 'options'] as const
export const show = z.strictObject({ model: shortText.optional(), name: shortText.optional(), verbose: ignored })
export const showRequest = lenient(show, UNSUPPORTED_IN_SHOW)

export type ChatRequest = z.output<typeof chatRequest>
export type GenerateRequest = z.output<typeof generateRequest>
export type ShowRequest = z.output<typeof showRequest>
export type Message = z.output<typeof message>
export type Options = z.output<typeof options>

/** Leaves out what is null, and of these fields those that say nothing. */
function lenient<Schema extends z.ZodType>(schema: Schema, fields: readonly string[]) {
  return z.preprocess(value => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
    const said = Object.entries(value).filter(
      ([field, one]) => !(one === null || (fields.includes(field) && isEmpty(one)))
    )
    return Object.fromEntries(said)
  }, schema)
}

function isEmpty(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return value === '' || value === false || value === 0
  return Object.keys(value).length === 0
}
