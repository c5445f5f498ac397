import { complete, offeredModels, store, storedKey, storedMessages, storeKey } from './conversation.js'
import { drawing, el, show } from './dom.js'
import { layers } from './format.js'
import { routeOf } from './route.js'
import { blocks } from './text.js'

/** @import { FlambeauView } from '../../course.js' */
/** @import { Message, Offered } from './conversation.js' */

/** Distance to the end, in pixels, from which new text is followed. */
const FOLLOWED = 120

export class Chat {
  #messages = storedMessages()
  /** @type {AbortController | undefined} */
  #answering
  #onRecovery
  #models = el('select', { id: 'model', name: 'model' })
  #log = el('div', { class: 'log', role: 'log', 'aria-live': 'polite', 'aria-label': 'Conversation' })
  #problem = el('p', { class: 'notice', role: 'alert', hidden: true })
  #keyForm = this.#makeKeyForm()
  #prompt = el('textarea', {
    ...{ id: 'prompt', rows: 2, placeholder: 'Ask the swarm …', 'aria-describedby': 'prompt-help' },
    onkeydown: event => this.#onKey(/** @type {KeyboardEvent} */ (event))
  })
  #send = el('button', { type: 'submit', class: 'primary' }, 'Send')
  #stop = el('button', { type: 'button', hidden: true, onclick: () => this.#answering?.abort() }, 'Stop')
  #clear = el('button', { type: 'button', class: 'quiet', onclick: () => this.#forget() }, 'New conversation')
  #offer = drawing(this.#models, (/** @type {Offered[]} */ models) => models.map(option))

  /** @param {HTMLElement} root @param {(recovery: FlambeauView['recoveries'][number]) => void} onRecovery */
  constructor(root, onRecovery) {
    this.#onRecovery = onRecovery
    const submit = (/** @type {Event} */ event) => {
      event.preventDefault()
      void this.#ask()
    }
    root.append(
      el(
        'div',
        { class: 'title' },
        el('h1', { id: 'chat-title', tabindex: -1 }, 'Chat'),
        el('div', { class: 'pick' }, el('label', { for: 'model' }, 'Model'), this.#models),
        this.#clear
      ),
      this.#problem,
      this.#keyForm,
      this.#log,
      el(
        'form',
        { class: 'composer', onsubmit: submit },
        el('label', { for: 'prompt', class: 'hidden' }, 'Message'),
        this.#prompt,
        el('div', { class: 'buttons' }, this.#send, this.#stop),
        el(
          'p',
          { class: 'help', id: 'prompt-help' },
          'Enter sends, Shift+Enter begins a line. Nodes on the route can read what you write.'
        )
      )
    )
    this.#draw()
    void this.refreshModels()
  }

  /** When the swarm has changed. */
  async refreshModels() {
    try {
      const found = await offeredModels()
      if ('refused' in found) {
        show(this.#keyForm, found.refused.code === 'invalid_api_key')
        this.#tell(found.refused.message)
        return
      }
      show(this.#keyForm, false)
      this.#tell(found.models.length === 0 ? 'Nobody offers a model yet: share one with `flambeau share`.' : '')
      const chosen = this.#models.value
      this.#offer(found.models)
      if (found.models.some(({ id }) => id === chosen)) this.#models.value = chosen
    } catch {
      this.#tell('The node does not answer.')
    }
  }

  async #ask() {
    const content = this.#prompt.value.trim()
    if (content === '' || this.#answering !== undefined) return
    this.#prompt.value = ''
    this.#messages.push({ role: 'user', content })
    await this.#answer()
  }

  async #again() {
    if (this.#answering !== undefined) return
    if (this.#messages.at(-1)?.role === 'assistant') this.#messages.pop()
    this.#prompt.focus()
    await this.#answer()
  }

  async #answer() {
    /** @type {Message} */
    const answer = { role: 'assistant', content: '', model: this.#models.value }
    const before = [...this.#messages]
    this.#messages.push(answer)
    const answering = new AbortController()
    this.#answering = answering
    this.#draw()
    const text = this.#log.querySelector('article:last-of-type .text')
    let isDue = false
    const onText = () => {
      if (isDue) return
      isDue = true
      requestAnimationFrame(() => {
        isDue = false
        if (this.#answering === answering) this.#follow(() => text?.replaceChildren(...blocks(answer.content)))
      })
    }
    await complete(answer, before, { signal: answering.signal, onText })
    this.#answering = undefined
    answer.course?.recoveries.forEach(this.#onRecovery)
    this.#draw()
  }

  #forget() {
    this.#answering?.abort()
    this.#messages = []
    this.#draw()
    this.#prompt.focus()
  }

  #draw() {
    const isAnswering = this.#answering !== undefined
    store(this.#messages)
    this.#log.setAttribute('aria-busy', String(isAnswering))
    this.#follow(() => {
      const last = this.#messages.length - 1
      const drawn = this.#messages.map((message, i) => this.#message(message, i === last, isAnswering))
      this.#log.replaceChildren(...(drawn.length === 0 ? [welcome()] : drawn))
    })
    show(this.#stop, isAnswering)
    show(this.#send, !isAnswering)
    show(this.#clear, this.#messages.length > 0)
  }

  /** @param {Message} message @param {boolean} isLast @param {boolean} isAnswering */
  #message({ role, content, model = '', course, note, error }, isLast, isAnswering) {
    const isWaiting = isLast && isAnswering
    const hasEnded = isLast && !isAnswering && role === 'assistant'
    return el(
      'article',
      { class: role },
      el('h2', {}, role === 'user' ? 'You' : model),
      el('div', { class: isWaiting ? 'text waiting' : 'text' }, ...blocks(content)),
      note === undefined ? undefined : el('p', { class: 'note' }, note),
      error === undefined ? undefined : el('p', { class: 'error', role: 'alert' }, error),
      course === undefined ? undefined : routeOf(course),
      hasEnded
        ? el('button', { type: 'button', class: 'quiet', onclick: () => void this.#again() }, 'Regenerate')
        : undefined
    )
  }

  /** Stays at the end, unless its reader has gone back. @param {() => void} draw */
  #follow(draw) {
    const { scrollHeight } = document.documentElement
    const isAtEnd = scrollHeight - window.scrollY - window.innerHeight < FOLLOWED
    draw()
    if (isAtEnd) window.scrollTo(0, document.documentElement.scrollHeight)
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return
    event.preventDefault()
    void this.#ask()
  }

  #makeKeyForm() {
    const key = el('input', {
      ...{ id: 'key', type: 'password', autocomplete: 'off', spellcheck: 'false', value: storedKey() }
    })
    const onsubmit = (/** @type {Event} */ event) => {
      event.preventDefault()
      storeKey(key.value.trim())
      void this.refreshModels()
    }
    return el(
      'form',
      { class: 'key', hidden: true, onsubmit },
      el('label', { for: 'key' }, 'API key, from the owner of this node; kept until this tab is closed'),
      el('div', { class: 'buttons' }, key, el('button', { type: 'submit' }, 'Use it'))
    )
  }

  /** @param {string} problem empty: none */
  #tell(problem) {
    this.#problem.textContent = problem
    show(this.#problem, problem !== '')
  }
}

/** @param {Offered} model */
function option({ id, flambeau: { complete: isComplete, missing } }) {
  return el('option', { value: id }, isComplete ? id : `${id} (layers ${missing.map(layers).join(', ')} missing)`)
}

function welcome() {
  return el(
    'p',
    { class: 'welcome' },
    'Ask something. Under each answer you see which nodes computed it, and how long each of them took.'
  )
}
