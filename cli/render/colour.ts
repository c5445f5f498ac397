import { styleText } from 'node:util'

type Style = Parameters<typeof styleText>[0]

export type Paint = (style: Style, text: string) => string

interface Screen {
  isTTY?: boolean
}

/** Colours on a terminal; none elsewhere, with NO_COLOR (https://no-color.org) or on a dumb terminal. */
export function painter(screen: Screen, env: Readonly<Record<string, string | undefined>>): Paint {
  const wanted = screen.isTTY === true && !env['NO_COLOR'] && env['TERM'] !== 'dumb'
  return wanted ? (style, text) => styleText(style, text) : (_style, text) => text
}
