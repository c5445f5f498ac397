/**
 * From a JSON schema to a grammar for llama.cpp, by node-llama-cpp's generator. That takes a part of JSON Schema: what it
 * has under another name is renamed here, what it does not have is refused, never dropped.
 */
import { EngineError } from './errors.js'

type Schema = Record<string, unknown>

/** Schemas within each other, and in all: more is no format but an attack on the parser. */
const MAX_DEPTH = 32
const MAX_SCHEMAS = 2_048
/** For people and programs that read the schema; they do not change what fits it. */
const NOTES: ReadonlySet<string> = new Set(['title', 'description', 'default', 'examples', '$schema', '$id', 'strict'])
/** By type, the keywords that the generator knows. */
const KEYWORDS: Readonly<Record<string, readonly string[]>> = {
  string: ['minLength', 'maxLength', 'format'],
  object: ['properties', 'required', 'additionalProperties', 'minProperties', 'maxProperties'],
  array: ['items', 'prefixItems', 'minItems', 'maxItems'],
  number: [],
  integer: [],
  boolean: [],
  null: []
}
const FORMATS: readonly unknown[] = ['date', 'time', 'date-time']

/**
 * The same in the generator's words. Each object has all of its properties, also those that are not required, and none
 * beyond them unless the schema says more.
 * @throws EngineError `BAD_SCHEMA` with the first keyword that is not supported, and where it stands
 */
export function toGeneratorSchema(schema: unknown): object {
  const translation = new Translation()
  const translated = translation.translate(schema, [])
  translation.checkReferences()
  return translated
}

class Translation {
  #schemas = 0
  readonly #defined = new Set<string>()
  readonly #referred = new Map<string, readonly string[]>()

  checkReferences(): void {
    for (const [name, path] of this.#referred) {
      if (!this.#defined.has(name)) throw refused(`\`$ref\` points to ${name}, which is nowhere`, path)
    }
  }

  translate(value: unknown, path: readonly string[]): Schema {
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      throw refused('a schema is an object', path)
    if (path.length > 2 * MAX_DEPTH || ++this.#schemas > MAX_SCHEMAS) throw refused('it is too deep or too large', path)
    const { $defs, definitions, ...schema } = value as Schema
    const defs = { ...this.#each(definitions, [...path, 'definitions']), ...this.#each($defs, [...path, '$defs']) }
    for (const name of Object.keys(defs)) this.#defined.add(`#/$defs/${name}`)
    const translated = this.#plain(schema, path)
    return Object.keys(defs).length === 0 ? translated : { ...translated, $defs: defs }
  }

  #plain(schema: Schema, path: readonly string[]): Schema {
    const { type } = schema
    const only = (...keywords: string[]): void => refuseOthers(schema, keywords, path)
    if ('$ref' in schema) return (only('$ref'), { $ref: this.#reference(schema['$ref'], path) })
    if ('const' in schema) return (only('const', 'type'), { const: schema['const'] })
    if ('enum' in schema) return (only('enum', 'type'), { enum: schema['enum'] })
    for (const choice of ['anyOf', 'oneOf']) {
      if (!(choice in schema)) continue
      only(choice)
      return { oneOf: this.#list(schema[choice], [...path, choice]) }
    }
    if (Array.isArray(type)) {
      return { oneOf: type.map(one => this.translate({ ...ofType(schema, one), type: one as unknown }, path)) }
    }
    if (typeof type !== 'string' || !(type in KEYWORDS)) throw refused('it needs a `type`', path)
    only('type', ...(KEYWORDS[type] ?? []))
    if (type === 'object') return this.#object(schema, path)
    if (type === 'array') return this.#array(schema, path)
    const { format } = schema
    if (format !== undefined && !FORMATS.includes(format))
      throw refused(`\`format\` may be ${FORMATS.join(', ')}`, path)
    return withoutNotes(schema)
  }

  #reference(reference: unknown, path: readonly string[]): string {
    const name = /^#\/(?:\$defs|definitions)\/([^/]+)$/.exec(String(reference))?.[1]
    if (name === undefined) throw refused('`$ref` may only point to `#/$defs/…` or `#/definitions/…`', path)
    this.#referred.set(`#/$defs/${name}`, path)
    return `#/$defs/${name}`
  }

  #object({ properties, additionalProperties, ...rest }: Schema, path: readonly string[]): Schema {
    const others = additionalProperties ?? properties === undefined
    return {
      ...withoutNotes(rest),
      ...(properties !== undefined && { properties: this.#each(properties, [...path, 'properties']) }),
      additionalProperties:
        typeof others === 'boolean' ? others : this.translate(others, [...path, 'additionalProperties'])
    }
  }

  #array({ items, prefixItems, ...rest }: Schema, path: readonly string[]): Schema {
    return {
      ...withoutNotes(rest),
      ...(items !== undefined && { items: this.translate(items, [...path, 'items']) }),
      ...(prefixItems !== undefined && { prefixItems: this.#list(prefixItems, [...path, 'prefixItems']) })
    }
  }

  #each(schemas: unknown, path: readonly string[]): Record<string, Schema> {
    if (schemas === undefined) return {}
    if (typeof schemas !== 'object' || schemas === null) throw refused('it is an object', path)
    return Object.fromEntries(
      Object.entries(schemas).map(([name, schema]) => [name, this.translate(schema, [...path, name])])
    )
  }

  #list(schemas: unknown, path: readonly string[]): Schema[] {
    if (!Array.isArray(schemas) || schemas.length === 0) throw refused('it is a list with schemas', path)
    return schemas.map((schema, i) => this.translate(schema, [...path, String(i)]))
  }
}

/** What concerns one of several types. */
function ofType(schema: Schema, type: unknown): Schema {
  const own = KEYWORDS[String(type)] ?? []
  const others = Object.values(KEYWORDS).flat()
  return Object.fromEntries(Object.entries(schema).filter(([key]) => own.includes(key) || !others.includes(key)))
}

function refuseOthers(schema: Schema, keywords: readonly string[], path: readonly string[]): void {
  const other = Object.keys(schema).find(key => !keywords.includes(key) && !NOTES.has(key))
  if (other !== undefined) throw refused(`\`${other}\` is not supported there`, path)
}

/** And without what is true anyway: objects have all of their properties. */
function withoutNotes(schema: Schema): Schema {
  return Object.fromEntries(Object.entries(schema).filter(([key]) => !NOTES.has(key) && key !== 'required'))
}

function refused(why: string, path: readonly string[]): EngineError {
  const where = path.length === 0 ? 'the root' : path.join('.')
  return new EngineError('BAD_SCHEMA', `The JSON schema cannot be used: at ${where}, ${why}.`, { details: { path } })
}
