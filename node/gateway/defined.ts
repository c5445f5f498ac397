export type Defined<T> = { [K in keyof T]?: Exclude<T[K], undefined> }

/** Without the fields that have no value: elsewhere an optional key is absent or has one. */
export function withoutUndefined<T extends object>(values: T): Defined<T> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Defined<T>
}
