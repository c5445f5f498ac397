import { styleText } from 'node:util'

type Style = Parameters<typeof styleText>[0]

export type Paint = (style: Style, text: string) => string

interface Screen {
  isTTY?: boolean
}

/** Colours on a terminal; none elsewhere, with NO_COLOR (https://no-color.org) or on a dumb terminal. */
export function painter(screen: Screen, env: Readonly<Record<string, string | undefined>>): Paint {
  const wanted = screen.isTTY === true && !env['NO_COLOR'] && env['TERM'] !== 'dumb'
  // `styleText` looks at standard output by itself: here it may be another screen.
  return wanted ? (style, text) => styleText(style, text, { validateStream: false }) : (_style, text) => text
}
