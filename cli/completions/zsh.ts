import { nameOf, valuesOf, withInner, type CommandNode } from './tree.js'

/** For zsh with its completion system (`compinit`). */
export function zshScript(root: CommandNode): string {
  const nodes = withInner(root)
  const places = nodes.slice(1).map(({ path }) => quoted(path))
  return `#compdef flambeau
# Completion of flambeau for zsh: put this file as _flambeau into a folder of $fpath, or source it after compinit.

_flambeau() {
  local current=\${words[CURRENT]} before=\${words[CURRENT-1]} place=flambeau word
  local -a offered
  for word in "\${(@)words[2,CURRENT-1]}"; do
    case "$place $word" in
      (${places.join('|')}) place="$place $word" ;;
    esac
  done
  case "$place $before" in
${valueCases(nodes).join('\n')}
  esac
  case "$place:$current" in
${nodes.flatMap(node => wordCases(node)).join('\n')}
  esac
}

if [[ $funcstack[1] == _flambeau ]]; then
  _flambeau "$@"
else
  compdef _flambeau flambeau
fi
`
}

function valueCases(nodes: readonly CommandNode[]): string[] {
  const { chosen, free } = valuesOf(nodes)
  return [
    ...chosen.map(
      ({ place, choices }) => `    (${quoted(place)}) compadd -- ${choices.map(quoted).join(' ')}; return ;;`
    ),
    `    (${free.map(quoted).join('|')}) _files; return ;;`
  ]
}

function wordCases({ path, options, choices, commands, takesFile }: CommandNode): string[] {
  const named = options.map(({ name, about }) => described(name, about))
  const inner = commands.map(node => described(nameOf(node), node.about))
  const words = [...inner, ...choices.map(quoted)]
  return [
    `    (${quoted(`${path}:-`)}*) offered=(${named.join(' ')}); _describe -o option offered ;;`,
    `    (${quoted(`${path}:`)}*) ${wordsOffered(words, takesFile)} ;;`
  ]
}

function wordsOffered(words: readonly string[], takesFile: boolean): string {
  if (takesFile) return '_files'
  return words.length === 0 ? ':' : `offered=(${words.join(' ')}); _describe command offered`
}

/** `_describe` takes a word and what it means with a colon in between. */
function described(word: string, about: string): string {
  return quoted(`${word.replaceAll(':', '\\:')}:${about}`)
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}
