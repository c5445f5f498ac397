/** A conversation with a model: what was said, kept while the tab lives, and how an answer comes. */
import { events, refusal } from './sse.js'

/** @import { FlambeauView } from '../../course.js' */
/**
 * @typedef {object} Message
 * @property {'user' | 'assistant'} role
 * @property {string} content
 * @property {string} [model] that answered
 * @property {FlambeauView} [course] where the answer came from
 * @property {string} [note] how it ended, unless by itself
 * @property {string} [error] what it failed with
 */

const STORED = 'flambeau.conversation'
const KEY = 'flambeau.key'

/** @returns {Message[]} */
export function storedMessages() {
  try {
    return JSON.parse(sessionStorage.getItem(STORED) ?? '[]')
  } catch {
    return [] // somebody else's
  }
}

/** @param {readonly Message[]} messages */
export function store(messages) {
  try {
    sessionStorage.setItem(STORED, JSON.stringify(messages))
  } catch {
    sessionStorage.removeItem(STORED) // more than a browser keeps: it lives in this page alone
  }
}

export function storedKey() {
  return sessionStorage.getItem(KEY) ?? ''
}

/** @param {string} key empty: none */
export function storeKey(key) {
  if (key === '') sessionStorage.removeItem(KEY)
  else sessionStorage.setItem(KEY, key)
}

/** @returns {Record<string, string>} */
function authorization() {
  const key = storedKey()
  return key === '' ? {} : { authorization: `Bearer ${key}` }
}

/**
 * @typedef {{ id: string, flambeau: { complete: boolean, missing: { start: number, end: number }[] } }} Offered
 * @returns {Promise<{ models: Offered[] } | { refused: { message: string, code: string } }>}
 */
export async function offeredModels() {
  const response = await fetch('/v1/models', { headers: authorization() })
  if (!response.ok) return { refused: await refusal(response) }
  return { models: (await response.json()).data }
}

/** Without what failed before it said anything. @param {readonly Message[]} messages */
function sent(messages) {
  return messages
    .filter(({ role, content }) => role === 'user' || content !== '')
    .map(({ role, content }) => ({ role, content }))
}

/**
 * Fills `answer` as it comes; what goes wrong becomes part of it.
 * @param {Message} answer its model is asked
 * @param {readonly Message[]} messages before it
 * @param {{ signal: AbortSignal, onText: () => void }} options
 */
export async function complete(answer, messages, { signal, onText }) {
  try {
    const response = await fetch('/v1/chat/completions', {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...authorization() },
      body: JSON.stringify({ model: answer.model, messages: sent(messages), stream: true }),
      signal
    })
    if (!response.ok) {
      answer.error = (await refusal(response)).message
      return
    }
    let hasEnded = false
    for await (const { data } of events(response)) {
      if (data === '[DONE]') hasEnded = true
      else take(answer, JSON.parse(data))
      onText()
    }
    if (!hasEnded && answer.error === undefined) answer.error = 'The node went away in the middle of the answer.'
  } catch (error) {
    if (signal.aborted) answer.note = 'Stopped.'
    else answer.error = `The node does not answer: ${error instanceof Error ? error.message : String(error)}`
  }
}

/**
 * @param {Message} answer
 * @param {{ error?: { message: string }, choices?: { delta: { content?: string }, finish_reason: string | null, flambeau?: FlambeauView }[] }} chunk
 */
function take(answer, { error, choices: [choice] = [] }) {
  if (error !== undefined) answer.error = error.message
  if (choice === undefined) return
  answer.content += choice.delta.content ?? ''
  if (choice.flambeau !== undefined) answer.course = choice.flambeau
  if (choice.finish_reason === 'length') answer.note = 'Cut off: the answer was as long as it may be.'
}
