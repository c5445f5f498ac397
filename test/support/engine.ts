import { pathToFileURL } from 'node:url'
import { join } from 'node:path'
import { EngineProcess, type EngineTimes } from '../../node/engine/engine.js'
import { PROJECT_ROOT } from './models.js'

const ignore = (): void => undefined

/** The compiled child process: `npm run build` makes it. */
export const ENGINE_CHILD = pathToFileURL(join(PROJECT_ROOT, 'dist', 'node', 'engine', 'child.js'))

/** An engine that is ready, on the CPU with one thread; restarts at once after a crash. Stop it at the end. */
export async function startEngine(times: Partial<EngineTimes> = {}): Promise<EngineProcess> {
  const logger = { debug: ignore, info: ignore, warn: ignore, error: ignore }
  const engine = new EngineProcess(
    { childModule: ENGINE_CHILD, logger },
    { backend: 'cpu', threads: 1, gpuLayers: 0 },
    { firstRestart: 10, lastRestart: 100, ...times }
  )
  await engine.start()
  return engine
}
