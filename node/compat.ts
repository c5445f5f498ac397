/**
 * libp2p 3 needs `Promise.withResolvers`, which Node 20 lacks. Every entry point imports this file before anything else.
 * To be deleted when the floor moves to Node 22.
 */
interface Resolvers<T> {
  promise: Promise<T>
  resolve: (value: T | PromiseLike<T>) => void
  reject: (reason?: unknown) => void
}

if (typeof Promise.withResolvers !== 'function') {
  Object.defineProperty(Promise, 'withResolvers', {
    configurable: true,
    writable: true,
    value: function withResolvers<T>(this: PromiseConstructor): Resolvers<T> {
      let resolve!: Resolvers<T>['resolve']
      let reject!: Resolvers<T>['reject']
      const promise = new this<T>((a, b) => {
        resolve = a
        reject = b
      })
      return { promise, resolve, reject }
    }
  })
}

export {}
