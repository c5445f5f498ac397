/** Tools, as OpenAI's interface has them and Ollama's has taken them over. */
import { z } from 'zod'
import type { GenerateRequest } from '../control/contract.js'
import { MAX_TOOLS, toolName } from '../control/schemas.js'
import type { Tool } from '../engine/types.js'
import { withoutUndefined } from './defined.js'
import { badRequest } from './errors.js'

/** Of a request. */
export const toolFields = z
  .array(
    z.strictObject({
      type: z.literal('function', { error: 'must be function' }),
      function: z.strictObject({
        name: toolName,
        description: z.string().nullish(),
        parameters: z.record(z.string(), z.unknown()).nullish(),
        strict: z.boolean().nullish()
      })
    })
  )
  .max(MAX_TOOLS)

export type ToolFields = z.output<typeof toolFields>

export function toolsOf(fields: ToolFields): Tool[] {
  return fields.map(({ function: { name, description, parameters } }) => ({
    name,
    ...withoutUndefined({ description: description ?? undefined, parameters: parameters ?? undefined })
  }))
}

/** @throws GatewayError BAD_REQUEST where what is wanted does not go together */
export function checkTools({
  tools,
  toolChoice,
  format
}: Pick<GenerateRequest, 'tools' | 'toolChoice' | 'format'>): void {
  if (tools === undefined) {
    if (toolChoice === undefined || toolChoice === 'none' || toolChoice === 'auto') return
    throw badRequest('`tool_choice` names a tool, but there are no `tools`.', 'tool_choice')
  }
  if (typeof toolChoice === 'object' && tools.every(({ name }) => name !== toolChoice.name)) {
    throw badRequest(`\`tool_choice\` wants ${toolChoice.name}, which is not among the \`tools\`.`, 'tool_choice')
  }
  if (format !== undefined && toolChoice !== 'none') {
    throw badRequest(
      'An answer is either JSON or may ask for tools: set `tool_choice` to none, or leave one out.',
      'tools'
    )
  }
}
