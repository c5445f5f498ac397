/** What to expect of a model before it is asked: the node estimates it when somebody wants to know. */
import { el } from './dom.js'
import { ownerHeaders, ownerPost } from './owner.js'
import { accuracyText, planParts, verdict } from './plan.js'
import { refusal } from './sse.js'

/** @import { AccuracyView, PlanView } from '../../../control/plan.js' */

/** Tokens of a prompt, unless said otherwise, and as many as the node takes; as in `flambeau plan`. */
const PROMPT_TOKENS = 128
const MAX_PROMPT_TOKENS = 2 ** 22

export class Expectation {
  element
  #manifest
  #tokens
  #isAsking = false
  /** Read aloud when it changes. */
  #said = el('p', { class: 'verdict', role: 'status' })
  #shown = el('div', { class: 'expected' })

  /** @param {{ name: string, manifest: string }} model */
  constructor({ name, manifest }) {
    this.#manifest = manifest
    const [title, tokens] = [`expect-${manifest}`, `expect-tokens-${manifest}`]
    this.#tokens = el('input', {
      ...{ id: tokens, type: 'number', required: true, inputmode: 'numeric' },
      ...{ min: 1, max: MAX_PROMPT_TOKENS, value: PROMPT_TOKENS }
    })
    const onsubmit = (/** @type {Event} */ event) => {
      event.preventDefault()
      void this.#ask()
    }
    this.element = el(
      'section',
      { class: 'expect', 'aria-labelledby': title },
      el('h4', { id: title }, 'What to expect', el('span', { class: 'hidden' }, ` of ${name}`)),
      el(
        'form',
        { class: 'buttons', onsubmit },
        el('label', { for: tokens }, 'Tokens of the prompt'),
        this.#tokens,
        el('button', { type: 'submit' }, 'Estimate')
      ),
      this.#said,
      this.#shown
    )
  }

  async #ask() {
    if (this.#isAsking) return
    this.#isAsking = true
    this.#said.textContent = 'Asking the swarm …'
    try {
      const plan = await answerOf(
        await ownerPost('/page/plan', { model: this.#manifest, promptTokens: Number(this.#tokens.value) })
      )
      this.#show(plan, await answerOf(await fetch('/page/estimates', { headers: ownerHeaders() })))
    } catch (error) {
      this.#fail(error instanceof Refused ? error.message : 'The node does not answer.')
    } finally {
      this.#isAsking = false
    }
  }

  /** @param {PlanView} plan @param {AccuracyView} accuracy */
  #show(plan, accuracy) {
    this.#shown.replaceChildren(
      ...planParts(plan).filter(part => part !== undefined),
      el('p', { class: 'help' }, accuracyText(accuracy))
    )
    this.#said.textContent = verdict(plan)
  }

  /** @param {string} problem */
  #fail(problem) {
    this.#said.textContent = ''
    this.#shown.replaceChildren(el('p', { class: 'error', role: 'alert' }, problem))
  }
}

/** The node has answered, with an error. */
class Refused extends Error {}

/** @param {Response} response */
async function answerOf(response) {
  if (!response.ok) throw new Refused((await refusal(response)).message)
  return response.json()
}
