import { el } from './dom.js'

/** A line that begins or ends a block of code, with the language after the first one. */
const FENCE = /^\s*```/

/** Paragraphs and blocks of code, and nothing else of Markdown. @param {string} text @returns {HTMLElement[]} */
export function blocks(text) {
  /** @type {HTMLElement[]} */
  const found = []
  /** @type {string[]} */
  let lines = []
  let isCode = false
  const end = () => {
    const content = lines.join('\n')
    if (isCode) found.push(el('pre', { tabindex: 0 }, el('code', {}, content)))
    else if (content.trim() !== '') found.push(...content.split(/\n{2,}/).map(part => el('p', {}, part)))
    lines = []
  }
  for (const line of text.split('\n')) {
    if (FENCE.test(line)) {
      end()
      isCode = !isCode
    } else lines.push(line)
  }
  end()
  return found
}
