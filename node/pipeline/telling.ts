import type { GenerateEvent } from '../control/contract.js'
import type { AnswerEvent } from './answer.js'
import type { Notices } from './notices.js'
import type { Prepared } from './prepared.js'
import type { CallPiece, CallStream } from './tools/call-stream.js'
import { Unsent } from './unsent.js'

type Told = Extract<GenerateEvent, { event: 'text' | 'tool-call' }>
type Reason = Extract<GenerateEvent, { event: 'done' }>['reason']
export type TokenEvent = Extract<AnswerEvent, { type: 'token' }>

/** What the reader of an answer gets of its tokens, with notices as they come. Returns why it ended. */
export async function* told<N extends GenerateEvent>(
  events: AsyncGenerator<AnswerEvent>,
  { tokenizer, calls }: Pick<Prepared, 'tokenizer' | 'calls'>,
  { notices, onToken }: { notices: Notices<N>; onToken: (event: TokenEvent) => void }
): AsyncGenerator<Told | N, Reason> {
  const unsent = new Unsent(tokenizer)
  let called = false
  for (;;) {
    const next: IteratorResult<AnswerEvent, unknown> = yield* notices.until(events.next())
    if (next.done === true) throw new RangeError('an answer without an end')
    const event = next.value
    if (event.type === 'token') {
      onToken(event)
      unsent.add(event)
    }
    const piece = calls === undefined ? { text: event.text, calls: [] } : calls.push(event.text)
    if (event.type === 'end') addEnd(piece, calls)
    if (piece.text !== '' || (event.type === 'end' && !unsent.isEmpty)) yield unsent.take(piece.text)
    for (const call of piece.calls) yield { event: 'tool-call', ...call }
    called ||= piece.calls.length > 0
    if (event.type === 'end') return called ? 'tool-calls' : event.reason
  }
}

/** With what was held back, since it might have been a call. */
function addEnd(piece: CallPiece, calls: CallStream | undefined): void {
  const last = calls?.end()
  if (last === undefined) return
  piece.text += last.text
  piece.calls.push(...last.calls)
}
