/** Entry point of the engine's process: llama.cpp runs here, where the daemon can afford to lose it. */
import '../compat.js'
import { CallServer } from './child-server.js'
import { EngineLoop } from './engine-loop.js'
import { EngineError } from './errors.js'
import { HiddenCapture } from './hidden-capture.js'
import { openLlama } from './llama.js'
import { ENGINE_CODECS } from './messages.js'
import { Shard, type ShardParts } from './shard.js'
import type { ContextSettings, EngineInfo, EngineSettings, LoadedShard, ShardFile } from './types.js'

/** How eagerly idle threads spin for work, 0 to 100: any polling ruins processes that share their cores. */
const DEFAULT_POLL = 0

class EngineChild {
  readonly loop = new EngineLoop()
  #parts: (ShardParts & { engine: EngineSettings }) | undefined
  #nextShard = 1

  async start(engine: EngineSettings): Promise<EngineInfo> {
    const llama = await openLlama(engine.backend, message => server.log('warn', message))
    const threadpool = llama.newThreadpool(engine.threads, engine.poll ?? DEFAULT_POLL)
    this.#parts = { llama, capture: new HiddenCapture(llama), threadpool, engine }
    return llama.info
  }

  load(file: ShardFile, settings: ContextSettings): LoadedShard {
    if (this.#parts === undefined) throw new EngineError('ENGINE_STOPPED', 'the engine has not been started')
    const shard = Shard.load(this.#parts, file, { ...settings, id: this.#nextShard++, engine: this.#parts.engine })
    this.loop.add(shard)
    const { id, width, vocabulary, batch, context, sequences } = shard.shape
    return { id, width, vocabulary, batch, context, sequences }
  }
}

const server = new CallServer(ENGINE_CODECS)
const child = new EngineChild()
server.serve({
  start: settings => child.start(settings),
  load: ({ shard, settings }) => child.load(shard, settings),
  step: step => child.loop.step(step),
  unload: ({ shard }) => {
    child.loop.unload(shard)
    return null
  },
  release: ({ shard, sequence }) => {
    child.loop.release(shard, sequence)
    return null
  }
})
