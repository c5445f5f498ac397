/** What a model is made to write where it must ask for a tool. */
import { EngineError } from '../../engine/errors.js'
import { toGeneratorSchema } from '../../engine/json-schema.js'
import type { TextForm, TextPart, Tool, ToolFormat } from '../../engine/types.js'
import { schemaOf, typesOf } from './argument-value.js'

/**
 * The form of an answer that is one call of one of these tools. What of a tool's schema cannot be kept to is free: any
 * object, or any text where arguments have no types.
 * @throws EngineError `BAD_SCHEMA` where an argument has a name that the form has no place for
 */
export function callForm(tools: readonly Tool[], format: ToolFormat): TextForm {
  switch (format) {
    case 'hermes':
      return { oneOf: [['<tool_call>\n', jsonCall(tools, 'arguments'), '\n</tool_call>']] }
    case 'llama3':
      return { oneOf: [[jsonCall(tools, 'parameters')]] }
    case 'mistral':
      return { oneOf: [['[TOOL_CALLS][', jsonCall(tools, 'arguments'), ']']] }
    case 'mistral-args':
      return {
        oneOf: tools.map(({ name, parameters }) => [`[TOOL_CALLS]${name}[ARGS]`, { schema: keptSchema(parameters) }])
      }
    case 'qwen3-coder':
      return { oneOf: tools.map(taggedCall) }
  }
}

function jsonCall(tools: readonly Tool[], key: string): TextPart {
  const calls = tools.map(({ name, parameters }) => ({
    ...{ type: 'object', properties: { name: { const: name }, [key]: keptSchema(parameters) } }
  }))
  return { schema: { oneOf: calls } }
}

/** A hint to the model, where it is not supported: as without constraint. */
function keptSchema(parameters: Tool['parameters']): Record<string, unknown> {
  return parameters !== undefined && isSupported(parameters) ? parameters : { type: 'object' }
}

function isSupported(schema: unknown): boolean {
  try {
    toGeneratorSchema(schema)
    return true
  } catch {
    return false
  }
}

const PARAMETER_END = '\n</parameter>\n'

/** Arguments in the order of the schema; those that are not required may be absent. */
function taggedCall({ name, parameters = {} }: Tool): TextPart[] {
  const { properties, required } = parameters
  const given = Object.keys(properties ?? {}).flatMap((key): TextPart[] => {
    const parts = [`<parameter=${taggable(key)}>\n`, ...valueParts(key, parameters)]
    return Array.isArray(required) && required.includes(key) ? parts : [{ optional: parts }]
  })
  return [`<tool_call>\n<function=${name}>\n`, ...given, '</function>\n</tool_call>']
}

function taggable(key: string): string {
  if (/^[^<>\n]+$/.test(key)) return key
  throw new EngineError('BAD_SCHEMA', `This model cannot be made to give an argument called ${JSON.stringify(key)}.`)
}

/** Texts as they are, all else as JSON. */
function valueParts(key: string, parameters: Record<string, unknown>): TextPart[] {
  const schema = schemaOf(key, parameters)
  const words = wordsOf(schema)
  if (words !== undefined) return [{ words }, PARAMETER_END]
  const isText = typesOf(schema, parameters).has('string') || !isSupported(schema)
  return isText ? [{ until: PARAMETER_END }] : [{ schema }, PARAMETER_END]
}

/** Where only these texts will do. */
function wordsOf(schema: unknown): string[] | undefined {
  const { enum: values, const: value } = (schema ?? {}) as Record<string, unknown>
  const words = Array.isArray(values) ? (values as unknown[]) : [value]
  return words.length > 0 && words.every(word => typeof word === 'string') ? words : undefined
}
