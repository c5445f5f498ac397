import { nameOf, valuesOf, withInner, type CommandNode } from './tree.js'

/** For bash 3.2 and newer. The words before the cursor lead to a command; what may follow it is offered. */
export function bashScript(root: CommandNode): string {
  const nodes = withInner(root)
  const places = nodes.slice(1).map(({ path }) => quoted(path))
  const values = valueCases(nodes)
  return `# Completion of flambeau for bash: source this file, or eval the output of \`flambeau completions bash\`.

_flambeau() {
  local current=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD - 1]} place=flambeau words= at
  # An option and its value may be one word to the parser and three to bash, with = as the second.
  [[ $current == = ]] && current=
  [[ $before == = ]] && before=\${COMP_WORDS[COMP_CWORD - 2]}
  COMPREPLY=()
  for ((at = 1; at < COMP_CWORD; at++)); do
    case "$place \${COMP_WORDS[at]}" in
      ${places.join(' | ')}) place="$place \${COMP_WORDS[at]}" ;;
    esac
  done
  case "$place $before" in
${values.join('\n')}
  esac
  case "$place:$current" in
${nodes.flatMap(node => wordCases(node)).join('\n')}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}

complete -F _flambeau flambeau
`
}

/** For the value of an option: its choices, or whatever the file system has. */
function valueCases(nodes: readonly CommandNode[]): string[] {
  const { chosen, free } = valuesOf(nodes)
  return [
    ...chosen.map(
      ({ place, choices }) =>
        `    ${quoted(place)})\n      COMPREPLY=($(compgen -W ${quoted(choices.join(' '))} -- "$current"))\n      return\n      ;;`
    ),
    `    ${free.map(quoted).join(' | ')})\n      ${FILES}\n      return\n      ;;`
  ]
}

const FILES = 'compopt -o default 2>/dev/null'

function wordCases({ path, options, choices, commands, takesFile }: CommandNode): string[] {
  const names = options.map(({ name }) => name)
  const words = [...commands.map(nameOf), ...choices]
  return [
    `    ${quoted(`${path}:-`)}*) words=${quoted(names.join(' '))} ;;`,
    `    ${quoted(`${path}:`)}*) words=${quoted(words.join(' '))}${takesFile ? `; ${FILES}` : ''} ;;`
  ]
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}
