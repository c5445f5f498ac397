/** Bodies of requests, as OpenAI's interface has them: what is not here is refused by name. docs/api.md tells field by field. */
import { z } from 'zod'
import { MAX_WANTED_IDS } from '../../../protocol/limits.js'
import { MAX_LOGPROBS, MAX_TOOLS, toolName } from '../../control/schemas.js'
import { MAX_WAIT_SECONDS } from '../../control/limits.js'
import { MAX_CHOICES } from '../constants.js'
import { maxTokens, samplingFields, shortText } from '../sampling.js'
import { toolFields } from '../tools.js'

const MAX_MESSAGES = 4096
const MAX_PARTS = 1024
/** As in OpenAI's interface. */
const MAX_LEGACY_LOGPROBS = 5

const logitBias = z
  .record(z.string().regex(/^\d{1,7}$/, 'keys are token ids'), z.number().min(-100).max(100))
  .refine(bias => Object.keys(bias).length <= MAX_WANTED_IDS, { error: `at most ${MAX_WANTED_IDS} tokens` })

/** How an answer is carried: Flambeau's own. */
export const carriage = z.strictObject({
  dtype: z.enum(['f32', 'f16']).optional(),
  replay: z.enum(['fast', 'exact']).optional(),
  wait: z.number().min(0).max(MAX_WAIT_SECONDS).optional()
})
/** Whom it is for; makes no difference to the answer. */
export const user = z.string().max(4096)

const common = {
  model: shortText,
  ...samplingFields,
  logit_bias: logitBias.optional(),
  n: z.int().min(1).max(MAX_CHOICES).optional(),
  max_tokens: maxTokens.optional(),
  stream: z.boolean().optional(),
  stream_options: z.strictObject({ include_usage: z.boolean().optional() }).optional(),
  user: user.optional(),
  flambeau: carriage.optional()
}

const textPart = z.strictObject({ type: z.literal('text'), text: z.string() })
const content = z.union([z.string(), z.array(textPart).min(1).max(MAX_PARTS)], {
  error: 'must be text, or parts of the type text'
})

/** What a client sends back of an answer has fields that say nothing. */
const nothing = z.union([z.null(), z.array(z.unknown()).max(0)]).optional()

const toolCall = z.strictObject({
  id: shortText,
  type: z.literal('function'),
  function: z.strictObject({ name: toolName, arguments: z.string() })
})

const message = z.discriminatedUnion(
  'role',
  [
    z.strictObject({ role: z.enum(['system', 'developer', 'user']), content }),
    z.strictObject({
      role: z.literal('assistant'),
      content: content.nullish(),
      tool_calls: z.array(toolCall).max(MAX_TOOLS).nullish(),
      refusal: nothing,
      annotations: nothing,
      audio: nothing
    }),
    z.strictObject({ role: z.literal('tool'), content, tool_call_id: shortText })
  ],
  { error: 'must be system, developer, user, assistant or tool' }
)

const toolChoice = z.union(
  [
    z.enum(['none', 'auto', 'required']),
    z.strictObject({ type: z.literal('function'), function: z.strictObject({ name: toolName }) })
  ],
  { error: 'must be none, auto, required or a function' }
)

const responseFormat = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('text') }),
  z.strictObject({ type: z.literal('json_object') }),
  z.strictObject({
    type: z.literal('json_schema'),
    json_schema: z.strictObject({
      name: z.string().max(256).optional(),
      description: z.string().max(4096).optional(),
      strict: z.boolean().nullish(),
      schema: z.record(z.string(), z.unknown())
    })
  })
])

/** Body of `POST /v1/chat/completions`. */
export const chatRequest = z.strictObject({
  ...common,
  messages: z.array(message).min(1).max(MAX_MESSAGES),
  max_completion_tokens: maxTokens.optional(),
  logprobs: z.boolean().optional(),
  top_logprobs: z.int().min(0).max(MAX_LOGPROBS).optional(),
  response_format: responseFormat.optional(),
  tools: toolFields.optional(),
  tool_choice: toolChoice.optional(),
  parallel_tool_calls: z.boolean().optional()
})

/** Body of `POST /v1/completions`. */
export const completionRequest = z.strictObject({
  ...common,
  prompt: z.union([z.string(), z.array(z.string()).min(1).max(MAX_CHOICES)], {
    error: `must be text, or a list of at most ${MAX_CHOICES} texts`
  }),
  echo: z.boolean().optional(),
  logprobs: z.int().min(0).max(MAX_LEGACY_LOGPROBS).optional()
})

export type ChatRequest = z.output<typeof chatRequest>
export type CompletionRequest = z.output<typeof completionRequest>
/** What both have. */
export type CommonRequest = Pick<ChatRequest, keyof typeof common>
