import { resolveModel } from '../../node/pipeline/catalogue.js'
import { Chat } from '../chat.js'
import { JSON_OPTION, type DefineCommand } from '../context.js'
import { interruptible } from '../interrupt.js'
import { useNode } from '../node.js'
import { addAnswerOptions, type AnswerOptions } from '../sampling.js'

export const define: DefineCommand = (command, context) => {
  command.argument('<model>', 'name, or 6 or more digits of the manifest hash; `flambeau models` lists them')
  addAnswerOptions(command)
    .option(...JSON_OPTION)
    .addHelpText('after', '\nIn the chat: /reset forgets the conversation, /exit ends it, Ctrl+C stops an answer.')
    .action(async (model: string, options: AnswerOptions) => {
      // Only while the node starts: the chat has its own idea of Ctrl+C.
      using interrupt = interruptible()
      await using node = await useNode(context, interrupt)
      resolveModel(await node.service.models(interrupt), model) // before anybody types a question
      interrupt[Symbol.dispose]()
      await new Chat({ service: node.service, context }, { model, ...options }).talk()
    })
}
