import { describe, expect, it } from 'vitest'
import { Chat } from '../../../cli/chat.js'
import { MemoryService } from '../control/memory-service.js'
import { fakeContext } from './screen.js'

async function talk(lines: string[], settings: { system?: string; json?: boolean; model?: string } = {}) {
  const fake = fakeContext()
  const service = new MemoryService()
  fake.stdin.end(lines.map(line => `${line}\n`).join(''))
  await new Chat({ service, context: fake.context }, { model: 'words', ...settings }).talk()
  const conversations = service.requests.map(request => ('messages' in request ? request.messages : undefined))
  return { ...fake, conversations }
}

describe('a chat', () => {
  it('asks with everything that was said before', async () => {
    const { conversations, stdout } = await talk(['hello', '', 'and then?'], { system: 'be brief' })
    expect(conversations).toEqual([
      [
        { role: 'system', content: 'be brief' },
        { role: 'user', content: 'hello' }
      ],
      [
        { role: 'system', content: 'be brief' },
        { role: 'user', content: 'hello' },
        { role: 'assistant', content: 'un deux trois' },
        { role: 'user', content: 'and then?' }
      ]
    ])
    expect(stdout.text).toBe('un deux trois\nun deux trois\n')
  })

  it('forgets on /reset and ends on /exit', async () => {
    const { conversations, stderr } = await talk(['one', '/reset', '/nothing', 'two', '/exit', 'three'])
    expect(conversations).toEqual([[{ role: 'user', content: 'one' }], [{ role: 'user', content: 'two' }]])
    expect(stderr.text).toContain('There is no /nothing')
  })

  it('answers programs with one document a line', async () => {
    const { stdout } = await talk(['a', 'b'], { json: true })
    const documents = stdout.text
      .trim()
      .split('\n')
      .map(line => JSON.parse(line) as unknown)
    expect(documents).toHaveLength(2)
    expect(documents[0]).toMatchObject({ text: 'un deux trois', tokens: [3, 5, 5], reason: 'stop' })
  })

  it('ends with the error where nobody sits in front of it', async () => {
    await expect(talk(['x'], { model: 'fails' })).rejects.toMatchObject({ code: 'STAGE_LOST' })
  })
})
