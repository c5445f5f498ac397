/** Building what is shown. Text of strangers becomes text, whatever it looks like. */

/** @typedef {Node | string | undefined} Child */
/** @typedef {Record<string, string | number | boolean | undefined | ((event: Event) => void)>} Attributes */

const SVG = 'http://www.w3.org/2000/svg'

/**
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Attributes} [attributes] those that begin with `on` are listeners; undefined and false: left out
 * @param {Child[]} children undefined: left out
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function el(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children)
}

/**
 * @template {keyof SVGElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Attributes} [attributes]
 * @param {Child[]} children
 * @returns {SVGElementTagNameMap[Tag]}
 */
export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children)
}

/**
 * @template {Element} E
 * @param {E} element
 * @param {Attributes} attributes
 * @param {Child[]} children
 * @returns {E}
 */
function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) continue
    if (typeof value === 'function') element.addEventListener(name.slice(2), value)
    else element.setAttribute(name, value === true ? '' : String(value))
  }
  element.append(...children.filter(child => child !== undefined))
  return element
}

/**
 * Draws anew only when what it shows has changed, so that a selection elsewhere stays.
 * @template Value
 * @param {Element} container
 * @param {(value: Value) => Child[]} draw
 * @returns {(value: Value) => void}
 */
export function drawing(container, draw) {
  /** @type {string | undefined} */
  let before
  return value => {
    const now = JSON.stringify(value)
    if (now === before) return
    before = now
    container.replaceChildren(...draw(value).filter(child => child !== undefined))
  }
}

/**
 * Makes these the children, in this order. Those that are there already stay as they are where they follow each other as
 * before: one that is moved loses the focus.
 * @param {Element} container
 * @param {readonly Element[]} wanted
 */
export function arrange(container, wanted) {
  for (const child of [...container.children]) if (!wanted.includes(child)) child.remove()
  wanted.forEach((element, i) => {
    if (container.children[i] !== element) container.insertBefore(element, container.children[i] ?? null)
  })
}

/**
 * Shows one of two, or nothing.
 * @param {HTMLElement} element
 * @param {boolean} shown
 */
export function show(element, shown) {
  element.hidden = !shown
}
