import { expect, it } from 'vitest'
import type { Answer } from '../../cli/answer.js'
import type { PeerView } from '../../node/control/contract.js'
import { startMesh } from '../support/mesh.js'
import { temporaryFolder } from '../support/temporary.js'
import { writeTinyModel } from '../support/tiny-model.js'
import { waitFor } from '../support/wait-for.js'
import { wholeModel } from '../support/whole-model.js'

it('a node that listens nowhere serves its layers through a member that relays', async () => {
  await using folder = await temporaryFolder()
  const { file } = await writeTinyModel(folder.file('tiny.gguf'), { architecture: 'qwen3' })
  await using mesh = await startMesh({
    nodes: [
      { layers: '0-4', args: ['--relay'] },
      { layers: '4-8', args: ['--listen', 'none'] }
    ],
    models: [{ file, name: 'tiny' }]
  })
  const hidden = mesh.node(1).service
  await waitFor(async () => (await hidden.status()).addresses.some(address => address.includes('/p2p-circuit/')), {
    what: 'a reservation on the relay',
    limit: 60_000
  })
  expect((await hidden.status()).addresses.filter(address => !address.includes('/p2p-circuit'))).toEqual([])

  // Dials the hidden node by itself: nobody dials a node that is up for one command.
  const member = await mesh.member()
  const request = { model: 'tiny', prompt: 'the', sampling: { temperature: 0, maxTokens: 8 }, dtype: 'f32' } as const
  const flags = ['--temperature', '0', '--max-tokens', '8', '--dtype', 'f32']
  const answer = await member.json<Answer>(['run', 'tiny', ...flags, 'the'])
  await using whole = await wholeModel(file)
  expect(answer.tokens).toEqual(await whole.answer(request, 2))
  expect(answer.route.map(({ name }) => name)).toEqual(['node-0', 'node-1'])

  const peers = await member.json<PeerView[]>(['peers'])
  expect(peers.find(({ name }) => name === 'node-1')?.path).toBe('relayed')
  expect(peers.find(({ name }) => name === 'node-0')).toMatchObject({ path: 'direct', relay: true })
})
