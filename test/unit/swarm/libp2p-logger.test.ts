import { describe, expect, it } from 'vitest'
import { libp2pLogger, type LogSink } from '../../../node/swarm/libp2p-logger.js'

function sink(...levels: string[]): { lines: [string, object, string][]; logger: LogSink } {
  const lines: [string, object, string][] = []
  return {
    lines,
    logger: {
      debug: (facts, message) => lines.push(['debug', facts, message]),
      trace: (facts, message) => lines.push(['trace', facts, message]),
      isLevelEnabled: level => levels.includes(level)
    }
  }
}

describe('libp2pLogger', () => {
  it('logs errors as debug and the rest as trace, with the component', () => {
    const { lines, logger } = sink('debug', 'trace')
    const log = libp2pLogger(logger).forComponent('libp2p:tcp').newScope('dial')
    log('dialled %a', 'address', 3)
    log.error('failed - %e', new Error('no route'))
    log.trace('detail')
    expect(lines).toEqual([
      ['trace', { component: 'libp2p:tcp:dial', values: ['address', 3] }, 'dialled %a'],
      ['debug', { component: 'libp2p:tcp:dial', values: ['Error: no route'] }, 'failed - %e'],
      ['trace', { component: 'libp2p:tcp:dial', values: [] }, 'detail']
    ])
    expect(log.enabled).toBe(true)
  })

  it('never logs bytes from the network, nor long values', () => {
    const { lines, logger } = sink('debug')
    libp2pLogger(logger).forComponent('x').error('got', Uint8Array.of(65, 66), 'y'.repeat(1000))
    expect(lines[0]?.[1]).toEqual({ component: 'x', values: ['2 bytes', 'y'.repeat(200)] })
  })

  it('does nothing for levels that are off', () => {
    const { lines, logger } = sink()
    const log = libp2pLogger(logger).forComponent('x')
    log('a')
    log.error('b')
    log.trace('c')
    expect([lines, log.enabled]).toEqual([[], false])
  })
})
