/** How much this node has computed of late. */
import { el, svg } from './dom.js'

/** Milliseconds between two samples, and how many are kept: 15 minutes. */
const SAMPLE_MS = 5_000
const SAMPLES = 180
const WIDTH = 600
const HEIGHT = 120

export class Throughput {
  element = el('figure', { class: 'throughput' })
  #caption = el('figcaption')
  #line = svg('polyline', { class: 'line', points: '' })
  #area = svg('polygon', { class: 'area', points: '' })
  /** Positions a second. @type {number[]} */
  #rates = []
  /** @type {{ time: number, positions: number } | undefined} */
  #before
  /** @type {number | undefined} */
  #positions

  constructor() {
    const picture = svg(
      'svg',
      { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', 'aria-hidden': 'true' },
      this.#area,
      this.#line
    )
    const axis = el(
      'div',
      { class: 'axis', 'aria-hidden': 'true' },
      el('span', {}, '15 min ago'),
      el('span', {}, 'now')
    )
    this.element.append(picture, axis, this.#caption)
    setInterval(() => this.#sample(), SAMPLE_MS)
    this.#draw()
  }

  /** @param {number} positions that the node's layers have computed since its start */
  update(positions) {
    const isFirst = this.#positions === undefined
    this.#positions = positions
    if (isFirst) this.#before = { time: Date.now(), positions }
  }

  #sample() {
    const positions = this.#positions
    const before = this.#before
    if (positions === undefined || before === undefined) return
    const now = { time: Date.now(), positions }
    this.#before = now
    // Fewer than before: the node was restarted.
    const done = Math.max(0, positions - before.positions)
    this.#rates.push((done * 1_000) / Math.max(1, now.time - before.time))
    if (this.#rates.length > SAMPLES) this.#rates.shift()
    this.#draw()
  }

  #draw() {
    const most = Math.max(...this.#rates, 1)
    const points = this.#rates.map((rate, i) => {
      const x = WIDTH - ((this.#rates.length - 1 - i) * WIDTH) / (SAMPLES - 1)
      return `${x.toFixed(1)},${(HEIGHT - 2 - (rate / most) * (HEIGHT - 8)).toFixed(1)}`
    })
    this.#line.setAttribute('points', points.join(' '))
    const [first = '', last = ''] = [points[0], points.at(-1)]
    const base = (/** @type {string} */ point) => `${point.split(',')[0]},${HEIGHT}`
    this.#area.setAttribute('points', points.length < 2 ? '' : [base(first), ...points, base(last)].join(' '))
    const now = this.#rates.at(-1)
    this.#caption.textContent =
      now === undefined
        ? 'Tokens a second through the layers of this node: measured from now on, for up to 15 minutes.'
        : `${now.toFixed(1)} tokens/s through the layers of this node; at most ${Math.max(...this.#rates).toFixed(1)} in the last 15 minutes.`
  }
}
