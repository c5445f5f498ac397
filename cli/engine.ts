import type { Config } from '../node/config.js'
import { COMPARISON_TIMES, EngineProcess } from '../node/engine/engine.js'
import type { Engine, EngineInfo } from '../node/engine/types.js'
import type { Logger } from '../node/logger.js'

export interface EngineForCommand extends AsyncDisposable {
  engine: Engine
  info: EngineInfo
}

export interface EngineParts {
  config: Config
  logger: Logger
}

/** An engine of the command's own: whatever happens to it, a running daemon goes on. */
export async function startEngine(
  { config, logger }: EngineParts,
  { signal }: { signal: AbortSignal }
): Promise<EngineForCommand> {
  const childModule = new URL('../node/engine/child.js', import.meta.url)
  const engine = new EngineProcess({ childModule, logger }, config.engine, COMPARISON_TIMES)
  try {
    const info = await engine.start({ signal })
    return { engine, info, [Symbol.asyncDispose]: () => engine.stop() }
  } catch (error) {
    await engine.stop()
    throw error
  }
}
