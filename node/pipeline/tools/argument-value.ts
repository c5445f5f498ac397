/** Arguments that a model has written without types: what their schema makes of the text. */

type Schema = Record<string, unknown>

/** References and alternatives within each other; a schema may go round in a circle. */
const MAX_DEPTH = 16
/** As Python writes them, which models do at times. */
const PYTHON_WORDS: ReadonlyMap<string, string> = new Map([
  ['True', 'true'],
  ['False', 'false'],
  ['None', 'null']
])

/** Of one argument, in the schema of all; undefined where that says nothing of it. */
export function schemaOf(key: string, parameters: Schema | undefined): unknown {
  const properties = asSchema(parameters?.['properties'])
  return Object.hasOwn(properties, key) ? properties[key] : undefined
}

/**
 * JSON where the schema wants that and the text is such a value, else the text.
 * @param root what references in the schema go into
 */
export function argumentValue(text: string, schema: unknown, root: Schema | undefined): unknown {
  const types = typesOf(schema, root)
  const value = jsonOf(text.trim())
  if (value === null && types.has('null')) return null
  if (value === undefined || types.has('string')) return text
  return namesOf(value).some(name => types.has(name)) ? value : text
}

function asSchema(value: unknown): Schema {
  return typeof value === 'object' && value !== null ? (value as Schema) : {}
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? (value as unknown[]) : []
}

/** JSON Schema's names for what a value may be; none: the schema does not say. @param root as above */
export function typesOf(schema: unknown, root: Schema | undefined): ReadonlySet<string> {
  return new Set(typesWithin(schema, asSchema(root), MAX_DEPTH))
}

function typesWithin(schema: unknown, root: Schema, depth: number): string[] {
  if (depth === 0) return []
  const { type, enum: values, anyOf, oneOf, allOf, $ref, ...rest } = asSchema(schema)
  const referred = typeof $ref === 'string' ? /^#\/(\$defs|definitions)\/([^/]+)$/.exec($ref) : null
  const within = [anyOf, oneOf, allOf].flatMap(listOf)
  if (referred !== null) within.push(asSchema(root[referred[1] ?? ''])[referred[2] ?? ''])
  return [
    ...(typeof type === 'string' ? [type] : listOf(type).map(String)),
    ...(type === undefined ? [...listOf(values), ...('const' in rest ? [rest['const']] : [])].flatMap(namesOf) : []),
    ...within.flatMap(one => typesWithin(one, root, depth - 1))
  ]
}

function namesOf(value: unknown): string[] {
  if (value === null) return ['null']
  if (Array.isArray(value)) return ['array']
  if (typeof value === 'number') return Number.isInteger(value) ? ['integer', 'number'] : ['number']
  return [typeof value]
}

/** Undefined where it is none. */
function jsonOf(text: string): unknown {
  try {
    return JSON.parse(PYTHON_WORDS.get(text) ?? text) as unknown
  } catch {
    return undefined
  }
}
