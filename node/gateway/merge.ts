/** What several sources yield, as it comes, with the number of its source; a failure of one ends all. */
export async function* merged<T>(sources: readonly AsyncIterable<T>[]): AsyncGenerator<{ index: number; value: T }> {
  const iterators = sources.map(source => source[Symbol.asyncIterator]())
  const nextOf = async (index: number): Promise<{ index: number; result: IteratorResult<T> | undefined }> => ({
    index,
    result: await iterators[index]?.next()
  })
  const pending = new Map(iterators.map((_, index) => [index, nextOf(index)]))
  try {
    while (pending.size > 0) {
      const { index, result } = await Promise.race([...pending.values()])
      if (result === undefined || result.done === true) {
        pending.delete(index)
        continue
      }
      pending.set(index, nextOf(index))
      yield { index, value: result.value }
    }
  } finally {
    for (const other of pending.values()) other.catch(() => undefined) // the first failure says it
    await Promise.allSettled(iterators.map(async iterator => iterator.return?.()))
  }
}
