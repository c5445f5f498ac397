/** WCAG 2.2, level AA, for text. */
const MIN_CONTRAST = 4.5

/** Runs in the browser: texts that are hard to read on what is behind them. */
export const FAINT = `(() => {
  const parse = color => { const [r, g, b, a = 1] = color.match(/[\\d.]+/g).map(Number); return { rgb: [r, g, b], a } }
  const light = rgb => rgb.map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0)
  const behind = element => {
    for (let at = element; at !== null; at = at.parentElement) {
      const { rgb, a } = parse(getComputedStyle(at).backgroundColor)
      if (a === 1) return rgb
    }
    return [255, 255, 255]
  }
  const shown = [...document.querySelectorAll('body *')].filter(element =>
    element.checkVisibility() && [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim() !== ''))
  if (shown.length < 10) return ['nothing is shown']
  return shown.flatMap(element => {
    const [a, b] = [light(parse(getComputedStyle(element).color).rgb), light(behind(element))]
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)
    return contrast < ${MIN_CONTRAST} ? [element.textContent + ' ' + contrast.toFixed(2)] : []
  })
})()`
