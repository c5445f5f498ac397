import { describe, expect, it } from 'vitest'
import { Dialer } from '../../../node/swarm/dialer.js'
import { Gate } from '../../../node/swarm/gate.js'
import { createIdentity } from '../../../node/swarm/identity.js'
import type { SwarmLibp2p } from '../../../node/swarm/libp2p.js'
import { Links } from '../../../node/swarm/links.js'
import { RecordBook } from '../../../node/swarm/record-book.js'
import { envelope, NOW, SWARM } from './records.js'

const HINT = '/ip4/203.0.113.9/tcp/1'

describe('Dialer', () => {
  it.each([
    { known: 'no record', recorded: undefined, dialled: [HINT] },
    { known: 'a record without addresses', recorded: [], dialled: [HINT] },
    { known: 'a record', recorded: ['/ip4/192.0.2.1/tcp/1'], dialled: ['/ip4/192.0.2.1/tcp/1'] }
  ])('with $known of the peer dials $dialled', async ({ recorded, dialled }) => {
    const identity = await createIdentity()
    const now = (): number => NOW
    const book = new RecordBook({ now, onChange: () => undefined, isKept: () => false }, { swarm: SWARM })
    if (recorded !== undefined) await book.learn(await envelope({ addresses: recorded }, identity))
    let asked: string[] = []
    const dial = (addresses: unknown[]): Promise<never> => {
      asked = addresses.map(String)
      return Promise.reject(new Error('nobody there'))
    }
    const network = { libp2p: { dial } as unknown as SwarmLibp2p }
    const dialer = new Dialer({
      ...{ network: () => network, gate: new Gate({ now }), links: new Links(() => undefined), book, now }
    })
    await expect(dialer.connect(identity.peer, { addresses: [HINT] })).rejects.toMatchObject({
      code: 'PEER_UNREACHABLE'
    })
    expect(asked).toEqual(dialled.map(address => `${address}/p2p/${identity.peer}`))
  })
})
