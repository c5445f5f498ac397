import { createHash } from 'node:crypto'

/** Stands in a service's file, in a comment, until the checksum of the rest is known. */
export const STAMP = '{stamp}'

/** Of SHA-256: it guards against forgetting, not against anybody. */
const CHECKSUM_CHARACTERS = 16
const STAMPED = /Written by `flambeau service install`, checksum ([0-9a-f]{16})\. What you edit is kept\./

/** By whom a service's file is: by us, by us and then edited, or by somebody else. */
export type Author = 'ours' | 'edited' | 'foreign'

/** Replaces `STAMP`, which is there once. */
export function stamped(text: string): string {
  return text.replace(
    STAMP,
    `Written by \`flambeau service install\`, checksum ${checksum(text)}. What you edit is kept.`
  )
}

export function authorOf(text: string): Author {
  const [line, found] = STAMPED.exec(text) ?? []
  if (line === undefined) return 'foreign'
  return checksum(text.replace(line, () => STAMP)) === found ? 'ours' : 'edited'
}

function checksum(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, CHECKSUM_CHARACTERS)
}
