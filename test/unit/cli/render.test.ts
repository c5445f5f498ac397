import { describe, expect, it } from 'vitest'
import type { AvailabilityView } from '../../../node/availability/types.js'
import { pauseLines, resumeLines } from '../../../cli/render/availability.js'
import { painter } from '../../../cli/render/colour.js'
import {
  bytes,
  cutsText,
  duration,
  layerRange,
  layerRanges,
  milliseconds,
  moment,
  printable,
  printableText,
  shortPeer
} from '../../../cli/render/format.js'
import { plainProgress } from '../../../cli/render/progress.js'
import { displayWidth, pairs, table } from '../../../cli/render/table.js'
import { modelLines, statusLines } from '../../../cli/render/views.js'
import { historyLines, planLines } from '../../../cli/render/plan.js'
import { ESTIMATE, PLAN, STATUS } from '../control/memory-service.js'

const plain = painter({}, {})

describe('formats', () => {
  it.each([
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1.0 KiB'],
    [1.5 * 2 ** 30, '1.5 GiB'],
    [512 * 2 ** 20, '512 MiB'],
    [2 ** 60, '1024 PiB']
  ])('%i bytes are %s', (count, text) => expect(bytes(count)).toBe(text))

  it.each([
    [0.4242, '0.42 ms'],
    [12.34, '12.3 ms'],
    [1250, '1.25 s'],
    [undefined, '-'],
    [NaN, '-']
  ])('%s ms are %s', (value, text) => expect(milliseconds(value)).toBe(text))

  it.each([
    [0.9, '0 s'],
    [42, '42 s'],
    [185, '3 min 5 s'],
    [7200, '2 h'],
    [90_061, '1 d 1 h']
  ])('%d seconds are %s', (seconds, text) => expect(duration(seconds)).toBe(text))

  it.each([
    [new Date(2026, 10, 26, 14, 5), '14:05'],
    [new Date(2026, 10, 27, 7, 0), 'Fri 07:00'],
    [new Date(2026, 11, 4, 7, 0), '2026-12-04 07:00']
  ])('%s is %s on a Thursday', (at, text) => expect(moment(at, new Date(2026, 10, 26, 8))).toBe(text))

  it('layer ranges are half open, as --layers takes them', () => {
    expect(layerRange({ start: 0, end: 8 })).toBe('0-8')
    expect(layerRanges([])).toBe('-')
    expect(
      layerRanges([
        { start: 0, end: 2 },
        { start: 4, end: 5 }
      ])
    ).toBe('0-2, 4-5')
  })

  it.each([
    [[], 1, 'not to be cut'],
    [[1, 2, 3], 4, 'to be cut between any two'],
    [[4, 8], 12, 'to be cut every 4 layers'],
    [[2, 3], 6, 'to be cut before 2, 3'],
    [[4], 8, 'to be cut before 4']
  ])('cuts %j of %i layers are "%s"', (cuts, layers, text) => expect(cutsText(cuts, layers)).toBe(text))

  it('peer ids are known by their end', () => expect(shortPeer('12D3KooWabcdefgh')).toBe('…abcdefgh'))

  it('names of strangers cannot steer the terminal', () => {
    expect(printable('evil\u001b[2Jname\u0007\u202e')).toBe('evil�[2Jname��')
    expect(printableText('line\n\ttab \u001b[2J')).toBe('line\n\ttab �[2J')
    expect(printableText('👩‍💻')).toBe('👩‍💻')
  })
})

describe('when a node serves', () => {
  const now = new Date(2026, 10, 26, 12)
  const owner = { reason: 'owner' as const, until: undefined }
  const schedule = { reason: 'schedule' as const, until: new Date(2026, 10, 26, 22).getTime() }
  const busy = { reason: 'busy' as const, until: undefined }
  const view = (changes: Partial<AvailabilityView>): AvailabilityView => ({
    ...{ state: 'online', pauses: [], overruled: [] },
    ...changes
  })

  it('a pause names all that hold, each with its end', () => {
    expect(pauseLines(view({ state: 'paused', pauses: [owner, schedule] }), now)).toEqual([
      'This node is paused by its owner; outside of its hours until 22:00; its memory is free. `flambeau resume` ends that.'
    ])
    expect(pauseLines(view({ state: 'leaving' }), now)).toEqual(['This node is leaving.'])
  })

  it.each([
    [view({}), 'This node serves again. `flambeau status` shows'],
    [view({ overruled: [schedule] }), 'serves again although it would be paused outside of its hours until 22:00.'],
    [
      view({ state: 'paused', pauses: [busy] }),
      'Still paused while others use this machine heavily. `flambeau resume` once'
    ],
    [view({ state: 'leaving' }), 'This node is stopping.']
  ])('a resume says what has come of it: %j', (seen, text) => {
    expect(resumeLines(seen, now).join()).toContain(text)
  })

  it('the status says why a node does not serve, or why it would not', () => {
    const paused = { ...STATUS, state: 'paused' as const, availability: view({ pauses: [owner] }) }
    expect(statusLines(paused, plain).slice(0, 2)).toEqual([
      'node       lamp, paused, up for 5 s',
      'paused     by its owner'
    ])
    expect(statusLines({ ...STATUS, availability: view({ overruled: [busy] }) }, plain)[1]).toBe(
      'overruled  pause while others use this machine heavily'
    )
    expect(statusLines(STATUS, plain)[1]).toMatch(/^peer/)
  })
})

describe('tables', () => {
  it('align columns by what is seen', () => {
    const red = '\u001b[31mred\u001b[39m'
    expect(
      table(
        [{ title: 'name' }, { title: 'ms', align: 'right' }],
        [
          [red, '1.5'],
          ['灯火', '100'],
          ['long name', '']
        ]
      )
    ).toEqual(['name        ms', `${red}        1.5`, '灯火       100', 'long name'])
  })

  it('count wide and combining characters', () => {
    expect(displayWidth('灯')).toBe(2)
    expect(displayWidth('e\u0301')).toBe(1)
    expect(displayWidth('\u001b[1mbold\u001b[22m')).toBe(4)
  })

  it('pairs stand in two columns', () => {
    expect(
      pairs([
        ['a', '1'],
        ['long', '2']
      ])
    ).toEqual(['a     1', 'long  2'])
    expect(pairs([])).toEqual([])
  })
})

describe('colours', () => {
  it.each([
    ['a terminal', { isTTY: true }, {}, true],
    ['a file', {}, {}, false],
    ['NO_COLOR', { isTTY: true }, { NO_COLOR: '1' }, false],
    ['a dumb terminal', { isTTY: true }, { TERM: 'dumb' }, false]
  ])('on %s', (_where, screen, env, coloured) => {
    expect(painter(screen, env)('red', 'x') !== 'x').toBe(coloured)
    expect(plain('red', 'x')).toBe('x')
  })
})

describe('progress without a terminal', () => {
  it('is a line for each tenth and each phase', () => {
    let text = ''
    const progress = plainProgress({ write: chunk => (text += chunk) })
    for (let done = 0; done <= 100; done++) progress.update('hashing', done, 100)
    progress.update('checking', 0, 0)
    progress.update('checking', 0, 0)
    expect(text.split('\n').slice(0, 3)).toEqual(['hashing: 0 %', 'hashing: 10 %', 'hashing: 20 %'])
    expect(text.endsWith('hashing: 100 %\nchecking\n')).toBe(true)
    expect(text.split('\n')).toHaveLength(13)
  })
})

describe('models', () => {
  it('are told with who serves their layers, and who has files of others', () => {
    const [a, b] = [
      { peer: 'peer-a', name: 'torch' },
      { peer: 'peer-b', name: 'lantern' }
    ]
    const lines = modelLines(
      [
        {
          ...{ name: 'ember', manifest: 'ab'.repeat(32), architecture: 'llama', layers: 8, cuts: [4] },
          ...{ complete: false, missing: [{ start: 4, end: 8 }] },
          holders: [
            { ...a, start: 0, end: 4, serving: true },
            { ...a, start: 0, end: 4, serving: false },
            { ...a, start: 0, end: 8, serving: false },
            { ...b, start: 0, end: 4, serving: false }
          ]
        }
      ],
      plain
    )
    expect(lines.map(line => line.replaceAll(/ +/g, ' ').trim())).toEqual([
      'ember llama, 8 layers, abababababab: layers 4-8 are served by nobody',
      '0-4 torch peer-a serves',
      '0-8 torch peer-a holds the files',
      '0-4 lantern peer-b holds the files'
    ])
  })
})

describe('plans', () => {
  const lines = (changes: Partial<typeof PLAN> = {}): string => planLines({ ...PLAN, ...changes }, plain).join('\n')
  const SIZE = PLAN.size

  it('say how fast both ways are, where the time goes, and which is faster', () => {
    expect(planLines(PLAN, plain)).toEqual([
      'model  Toy, 8 layers',
      'size   80 B of weights, 100 B of memory with room for 512 positions: a layer 10 B at most, embedding 4 B, head 6 B',
      'alone  50.0 tokens/s, first after 400.0 ms',
      'swarm  33.3 tokens/s, first after 500.0 ms (corrected by the last 9 answers)',
      'limit  compute on torch: 40 % of each token',
      '',
      'node              layers  per token',
      'lamp (this node)     0-4    10.0 ms',
      'torch …ooWTorch      4-8    12.0 ms',
      'network and hops            8.00 ms',
      '',
      'First token: for a prompt of 128 tokens.',
      'Alone would be faster: this machine can run the whole model by itself.'
    ])
  })

  it('say what memory is needed where the model does not fit here', () => {
    const alone = { fits: false, memoryBytes: 60, speed: undefined }
    expect(lines({ alone })).toContain('alone  does not fit here: needs 100 B, 60 B are given')
    expect(lines({ alone: { ...alone, fits: true } })).toContain('how fast is not known')
    expect(lines({ alone: { ...alone, fits: undefined }, size: undefined })).toContain(
      'whether it fits here is not known'
    )
  })

  it('name missing layers and who has room for them', () => {
    const taker = { peer: '12D3KooWLamp', name: 'lamp', freeBytes: 2048 }
    const ranges = [
      { start: 4, end: 8, bytes: 40, takers: [taker] },
      { start: 2, end: 3, bytes: 10, takers: [] },
      { start: 0, end: 1, bytes: undefined, takers: [] }
    ]
    const text = lines({ swarm: { kind: 'missing', ranges }, faster: undefined })
    expect(text).toContain('swarm  cannot answer: nobody serves layers 4-8, 2-3, 0-1')
    expect(text).toContain('Layers 4-8 take 40 B; room for them: lamp (2.0 KiB free).')
    expect(text).toContain('Layers 2-3 take 10 B; no node is known to have that much free.')
    expect(text).toContain('Layers 0-1: what they take is not known.')
  })

  it('say of a file whether the swarm has room, and of a full swarm why not', () => {
    const unshared = { kind: 'unshared', nodes: 1, memoryBytes: 90, fits: false } as const
    const facts = { size: SIZE, faster: undefined, alone: { ...PLAN.alone, speed: undefined } }
    expect(lines({ ...facts, swarm: unshared })).toContain(
      'nobody shares it yet; it would not fit: 1 node gives 90 B, whatever they hold now'
    )
    const blocked = { kind: 'blocked', message: 'All are busy.' } as const
    expect(lines({ ...facts, swarm: blocked })).toContain('cannot answer now: All are busy.')
  })

  it('lead to what answers took, with the error of each and the median', () => {
    const short = { ...ESTIMATE, measured: { tokensPerSecond: 0, firstTokenMs: 100 } }
    const text = historyLines([ESTIMATE, short], new Date(ESTIMATE.at), plain)
    expect(text[1]).toMatch(/Toy +2 +33\.0 +30\.0 +\+10 % +110\.0 ms +100\.0 ms +\+10 %$/)
    expect(text[2]).toMatch(/Toy +2 +33\.0 +- +- /)
    expect(text.at(-1)).toBe('Median error of the last 2 answers: 10 % of tokens/s, 10 % of the first token.')
    expect(historyLines([short], new Date(), plain).at(-1)).toBe(
      'Median error of the last 1 answer: 10 % of the first token.'
    )
    expect(historyLines([], new Date(), plain)).toEqual(['No answers yet.'])
  })
})
