import { vi } from 'vitest'
import { KeyFolder } from '../../../../node/gateway/keys/folder.js'
import { digestOf, newSecret, type Key } from '../../../../node/gateway/keys/key.js'
import { Keyring } from '../../../../node/gateway/keys/keyring.js'
import { temporaryFolder, type TemporaryFolder } from '../../../support/temporary.js'

export const NOON = Date.parse('2026-06-15T12:00:00.000Z')

/** A key and its secret; not stored yet. */
export function makeKey(changes: Partial<Key> = {}): { key: Key; secret: string } {
  const secret = newSecret()
  const key = { name: 'ci', hash: digestOf(secret).toString('hex'), created: new Date(NOON).toISOString(), ...changes }
  return { key, secret }
}

export interface KeysAtHome extends AsyncDisposable {
  files: TemporaryFolder
  folder: KeyFolder
  keyring: Keyring
  /** Milliseconds; may be changed. */
  clock: { now: number }
  logger: { error: ReturnType<typeof vi.fn>; warn: ReturnType<typeof vi.fn> }
  /** One more ring over the same files, as after a restart. */
  another(): Keyring
  /** Stores a new key. */
  add(changes?: Partial<Key>): Promise<{ key: Key; secret: string }>
}

/** A started ring over an empty folder. */
export async function keysAtHome(): Promise<KeysAtHome> {
  const files = await temporaryFolder()
  const clock = { now: NOON }
  const logger = { error: vi.fn(), warn: vi.fn() }
  const now = (): number => clock.now
  const places = { keysFolder: files.file('keys'), keysUsageFile: files.file('keys-usage.json') }
  const another = (): Keyring => new Keyring({ logger, now, wallNow: now }, places)
  const folder = new KeyFolder(places.keysFolder)
  const keyring = another()
  await keyring.start()
  return {
    ...{ files, folder, keyring, clock, logger, another },
    add: async changes => {
      const made = makeKey(changes)
      await folder.add(made.key)
      return made
    },
    [Symbol.asyncDispose]: async () => {
      await keyring.stop()
      await files.remove()
    }
  }
}
