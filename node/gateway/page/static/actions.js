/** What the owner can do with the node: pause, resume, leave, invite. */
import { el, show } from './dom.js'
import { ownerHeaders, ownerPost } from './owner.js'
import { refusal } from './sse.js'

/** @import { PageInvitation, PageStatus } from '../contract.js' */

const PAUSES = [
  ['1800', 'for 30 minutes'],
  ['7200', 'for 2 hours'],
  ['28800', 'for 8 hours'],
  ['', 'until resumed']
]

export class Actions {
  element = el('div', { class: 'actions' })
  #problem = el('p', { class: 'error', role: 'alert', hidden: true })
  #seconds = el(
    'select',
    { id: 'pause-time' },
    ...PAUSES.map(([value, text]) => el('option', { value: value ?? '' }, text))
  )
  #pause = el('button', { type: 'button', onclick: () => void this.#post('pause', this.#wanted()) }, 'Pause')
  #resume = el('button', { type: 'button', class: 'primary', onclick: () => void this.#post('resume', {}) }, 'Resume')
  #pausing = el(
    'div',
    { class: 'buttons' },
    el('label', { for: 'pause-time', class: 'hidden' }, 'How long'),
    this.#pause,
    this.#seconds
  )
  #leaving = this.#makeDialog()

  constructor() {
    const drain = el('button', { type: 'button', onclick: () => this.#leaving.showModal() }, 'Drain and stop …')
    this.element.append(
      el('div', { class: 'buttons' }, this.#pausing, this.#resume, drain),
      this.#problem,
      this.#leaving
    )
  }

  /** @param {PageStatus} status */
  update({ availability: { state, pauses } }) {
    const isOwners = pauses.some(({ reason }) => reason === 'owner')
    show(this.#pausing, !isOwners && state !== 'leaving')
    show(this.#resume, pauses.length > 0)
  }

  #wanted() {
    return this.#seconds.value === '' ? {} : { seconds: Number(this.#seconds.value) }
  }

  #makeDialog() {
    /** @type {HTMLDialogElement} */
    const dialog = el(
      'dialog',
      { 'aria-labelledby': 'drain-title' },
      el('h2', { id: 'drain-title' }, 'Drain and stop this node?'),
      el(
        'p',
        {},
        'It takes no new sessions, those it has move to other nodes or end, and then it stops. Only ',
        el('code', {}, 'flambeau up'),
        ' on its machine starts it again.'
      ),
      el(
        'div',
        { class: 'buttons' },
        el('button', { type: 'button', onclick: () => dialog.close() }, 'Go on serving'),
        el(
          'button',
          {
            ...{ type: 'button', class: 'danger' },
            onclick: () => {
              dialog.close()
              void this.#post('drain', {})
            }
          },
          'Drain and stop'
        )
      )
    )
    return dialog
  }

  /** @param {string} action @param {object} body */
  async #post(action, body) {
    show(this.#problem, false)
    try {
      const response = await ownerPost(`/page/${action}`, body)
      if (!response.ok) this.#tell((await refusal(response)).message)
    } catch {
      this.#tell('The node does not answer.')
    }
  }

  /** @param {string} problem */
  #tell(problem) {
    this.#problem.textContent = problem
    show(this.#problem, true)
  }
}

/** Shown when it is asked for: whoever sees that of a closed swarm can join it. */
export class Invitation {
  element = el('div', { class: 'invitation' })
  #said = el('p', { role: 'status', class: 'help' })
  #shown = el('div', { class: 'shown' })

  constructor() {
    const button = el('button', { type: 'button', onclick: () => void this.#ask() }, 'Show the invitation')
    this.element.append(el('div', { class: 'buttons' }, button), this.#shown, this.#said)
  }

  async #ask() {
    try {
      const response = await fetch('/page/invitation', { headers: ownerHeaders() })
      if (response.ok) this.#show(await response.json())
      else this.#said.textContent = (await refusal(response)).message
    } catch {
      this.#said.textContent = 'The node does not answer.'
    }
  }

  /** @param {PageInvitation} view */
  #show({ invitation, name, closed, qr }) {
    const text = el('textarea', { id: 'invitation', class: 'mono', readonly: true, rows: 5 }, invitation)
    const copy = async () => {
      text.select()
      try {
        await navigator.clipboard.writeText(invitation)
        this.#said.textContent = 'Copied.'
      } catch {
        this.#said.textContent = 'Your browser does not let this page copy: the text is selected, copy it yourself.'
      }
    }
    this.#said.textContent = ''
    this.#shown.replaceChildren(
      el(
        'div',
        {},
        el('label', { for: 'invitation' }, `To the swarm ${name}`),
        text,
        el('div', { class: 'buttons' }, el('button', { type: 'button', onclick: () => void copy() }, 'Copy')),
        el(
          'p',
          { class: 'help' },
          ...(closed
            ? ['It holds the key of this closed swarm: whoever has it can join. Hand it on with care.']
            : ['Others join with ', el('code', {}, 'flambeau join'), ' and this text.'])
        )
      ),
      qr === undefined
        ? el('p', { class: 'help' }, 'It is too long for a QR code.')
        : el('img', {
            class: 'qr',
            alt: 'The invitation as a QR code',
            src: `data:image/svg+xml,${encodeURIComponent(qr)}`
          })
    )
  }
}
