import { nameOf, withInner, type CommandNode, type OptionNode } from './tree.js'

/** For fish 3 and newer. */
export function fishScript(root: CommandNode): string {
  const nodes = withInner(root)
  const places = nodes.slice(1).map(({ path }) => quoted(path))
  return `# Completion of flambeau for fish: put this file into ~/.config/fish/completions, or pipe it into source.

function __flambeau_place
    set -l place flambeau
    set -l words (commandline -opc)
    for word in $words[2..-1]
        switch "$place $word"
            case ${places.join(' ')}
                set place "$place $word"
        end
    end
    echo $place
end

function __flambeau_at
    test (__flambeau_place) = "$argv"
end

complete -c flambeau -f
${nodes.flatMap(node => rules(node)).join('\n')}
`
}

function rules(node: CommandNode): string[] {
  const at = `complete -c flambeau -n ${quoted(`__flambeau_at ${node.path}`)}`
  return [
    ...node.commands.map(inner => `${at} -a ${quoted(nameOf(inner))} -d ${quoted(inner.about)}`),
    ...(node.choices.length === 0 ? [] : [`${at} -a ${quoted(node.choices.join(' '))}`]),
    ...(node.takesFile ? [`${at} -F`] : []),
    ...node.options.map(option => `${at} ${flags(option)} -d ${quoted(option.about)}`)
  ]
}

function flags({ name, takesValue, choices }: OptionNode): string {
  const long = `-l ${quoted(name.replace(/^--/, ''))}`
  if (!takesValue) return long
  return choices.length === 0 ? `${long} -r -F` : `${long} -x -a ${quoted(choices.join(' '))}`
}

function quoted(text: string): string {
  return `'${text.replaceAll(/[\\']/g, '\\$&')}'`
}
