import { createServer, type AddressInfo } from 'node:net'
import { once } from 'node:events'
import { describe, expect, it } from 'vitest'
import { memoryCheck, nodeCheck, peerCheck, processorCheck } from '../../../cli/doctor/checks.js'
import { addressCheck, bootstrapChecks, portCheck, tcpAddress } from '../../../cli/doctor/network.js'
import type { PeerView } from '../../../node/control/contract.js'

const GIB = 2 ** 30
const hardware = { cpu: 'CPU', cores: 4, memoryTotal: 8 * GIB, memoryFree: 4 * GIB }
const engine = { backend: 'auto' as const, threads: 4, gpuLayers: -1, context: 1, sessions: 1, batch: 1 }

describe('doctor', () => {
  it.each([
    ['20.19.0', 'ok'],
    ['22.0.0', 'ok'],
    ['20.18.9', 'fail'],
    ['18.20.0', 'fail']
  ])('finds Node.js %s %s', (version, state) => expect(nodeCheck(version).state).toBe(state))

  it('warns of more threads than cores', () => {
    expect(processorCheck(hardware, { engine }).state).toBe('ok')
    expect(processorCheck(hardware, { engine: { ...engine, threads: 5 } }).state).toBe('warn')
  })

  it.each([
    ['auto' as const, 'ok'],
    [GIB, 'ok'],
    [5 * GIB, 'warn'],
    [1024, 'warn']
  ])('finds memory %s %s', (memory, state) => {
    expect(memoryCheck(hardware, { share: { memory, models: [], layers: undefined } }).state).toBe(state)
  })

  it('tells a port that is taken from one that is free', async () => {
    const server = createServer().listen(0)
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    expect(await portCheck(port)).toMatchObject({ state: 'fail', name: 'port' })
    await new Promise(resolve => server.close(resolve))
    expect(await portCheck(port)).toMatchObject({ state: 'ok' })
  })

  it('reaches bootstrap nodes, or says why not', async () => {
    const server = createServer(socket => socket.destroy()).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const address = `/ip4/127.0.0.1/tcp/${port}/p2p/12D3KooWPeer`
    const signal = new AbortController().signal
    const first = async (addresses: string[]) => (await bootstrapChecks(addresses, { signal }).next()).value
    expect(await first([address])).toMatchObject({ state: 'ok', found: '1 of 1 addresses answer' })
    await new Promise(resolve => server.close(resolve))
    expect(await first([address])).toMatchObject({ state: 'fail', found: '0 of 1 addresses answer' })
    expect(await first([])).toMatchObject({ state: 'ok' })
  })

  it.each([
    ['/ip4/1.2.3.4/tcp/5', { host: '1.2.3.4', port: 5 }],
    ['/dns4/example.org/tcp/5/p2p/12D3', { host: 'example.org', port: 5 }],
    ['/ip6/::1/tcp/5', { host: '::1', port: 5 }],
    ['/ip4/1.2.3.4/udp/5/quic-v1', undefined],
    ['/ip4/1.2.3.4/tcp/5/p2p/12D3/p2p-circuit/p2p/12D4', undefined]
  ])('reads %s', (multiaddr, address) => expect(tcpAddress(multiaddr)).toEqual(address))

  it.each([
    [['/ip4/8.8.8.8/tcp/1/p2p/a'], 'ok'],
    [['/ip4/192.168.1.2/tcp/1/p2p/a'], 'warn'],
    [['/ip4/8.8.8.8/tcp/1/p2p/a/p2p-circuit/p2p/b'], 'warn'],
    [['/ip4/127.0.0.1/tcp/1/p2p/a'], 'warn'],
    [[], 'fail']
  ])('judges addresses %j %s', (addresses, state) => expect(addressCheck(addresses).state).toBe(state))

  it('judges the connections', () => {
    const peer = (path: PeerView['path']) => ({ path, self: path === 'self' }) as PeerView
    expect(peerCheck([peer('self')]).state).toBe('warn')
    expect(peerCheck([peer('self'), peer('direct'), peer('unconnected')]).state).toBe('ok')
    expect(peerCheck([peer('self'), peer('relayed')]).state).toBe('warn')
  })
})
