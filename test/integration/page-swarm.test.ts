import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { painter } from '../../cli/render/colour.js'
import { planLines } from '../../cli/render/plan.js'
import type { AccuracyView, PlanView } from '../../node/control/plan.js'
import type { ControlService } from '../../node/control/service.js'
import { Gateway } from '../../node/gateway/server.js'
import { PipelineError } from '../../node/pipeline/errors.js'
import { modelViews, peerViews } from '../../node/views.js'
import { chromiumObstacle, launchChromium } from '../support/chromium.js'
import { FAINT } from '../support/contrast.js'
import { PLAN, STATUS } from '../unit/control/memory-service.js'
import { held, nodeView, shard } from '../unit/pipeline/swarm-views.js'

const obstacle = chromiumObstacle()
const SECRET = 's'.repeat(43)
/** Longer than a phone is wide. */
const LONG = 'W'.repeat(60)
const logger = { info: vi.fn(), warn: vi.fn(), error: vi.fn(), debug: vi.fn() }

const TOY = nodeView('a', [held({ shards: [shard(0, 6)] })], { path: 'self' })
/** Comes before the other by its name. */
const ANOTHER = nodeView('b', [held({ name: 'Another', manifest: 'cd'.repeat(32), shards: [shard(0, 6)] })])
const ACCURACY: AccuracyView = { answers: 12, tokensPerSecond: 0.1, firstToken: 0.25 }
const NOTHING_ALONE = { fits: false, memoryBytes: 60, speed: undefined }
const MISSING: PlanView['swarm'] = {
  kind: 'missing',
  ranges: [
    { start: 4, end: 6, bytes: 40, takers: [{ peer: 'b', name: 'lamp', freeBytes: 2048 }] },
    { start: 2, end: 3, bytes: 10, takers: [] },
    { start: 0, end: 1, bytes: undefined, takers: [] }
  ]
}

/** A node with this page, in a swarm that is as the test says. */
describe.skipIf(obstacle !== undefined)(`the swarm in a browser ${obstacle ?? ''}`, () => {
  let nodes = [TOY]
  let accuracy = ACCURACY
  const plan = vi.fn<ControlService['plan']>(() => Promise.resolve(PLAN))
  const never = (): never => {
    throw new Error('nobody asks for that here')
  }
  const gateway = new Gateway(
    {
      service: { models: () => Promise.resolve(modelViews(nodes)), generate: never, embed: never },
      logger,
      page: {
        service: {
          status: () => Promise.resolve(STATUS),
          plan,
          pause: never,
          resume: never,
          stop: never,
          invite: never
        },
        known: () => ({ peers: peerViews(nodes, [{ peer: 'f', left: 90_000 }]), models: modelViews(nodes) }),
        accuracy: () => Promise.resolve(accuracy),
        secret: SECRET,
        positions: () => 0
      }
    },
    { listen: { host: '127.0.0.1', port: 0 }, origins: [] }
  )
  let browser: Browser
  let page: Page

  const open = async (): Promise<Page> => {
    const opened = await browser.newPage()
    await opened.goto(gateway.pageUrl ?? '')
    await opened.click('nav a[href="#swarm"]')
    await opened.locator('#swarm .model').first().waitFor()
    return opened
  }
  const estimate = async (on = page): Promise<void> => {
    await on.getByRole('button', { name: 'Estimate' }).first().click()
  }
  /** What the page says of a plan once it has asked for it. */
  const told = async (changes: Partial<PlanView>): Promise<{ verdict: string; facts: string[]; notes: string[] }> => {
    plan.mockResolvedValueOnce({ ...PLAN, ...changes })
    const before = plan.mock.calls.length
    await page.evaluate(`document.querySelector('.expected').replaceChildren()`)
    await estimate()
    await page.locator('.expected .facts-list').waitFor()
    expect(plan.mock.calls.length).toBe(before + 1)
    return {
      verdict: (await page.locator('.verdict').textContent()) ?? '',
      facts: await page.locator('.expected dd').allTextContents(),
      notes: await page.locator('.expected > p').allTextContents()
    }
  }

  beforeAll(async () => {
    await gateway.start()
    browser = await launchChromium()
    page = await open()
  })

  afterAll(async () => {
    await browser.close()
    await gateway.stop()
  })

  it('says what the command says of a route, and in which order nodes would compute', async () => {
    const { verdict, facts, notes } = await told({})
    expect(verdict).toBe('Alone would be faster: this machine can run the whole model by itself.')
    expect(facts).toEqual([
      '50.0 tokens/s, first after 400 ms',
      '33.3 tokens/s, first after 500 ms (corrected by the last 9 answers)',
      'compute on torch: 40 % of each token',
      '80 B of weights, 100 B of memory with room for 512 positions'
    ])
    expect(await page.locator('.expected .route li').allTextContents()).toEqual([
      'lamp this nodelayers 0-410.0 ms per token',
      'torchlayers 4-812.0 ms per token'
    ])
    expect(notes).toEqual([
      'network and hops: 8.00 ms per token',
      expect.stringMatching(/^First token: for a prompt of 128 tokens\. Estimated at \d/),
      'Median error of the last 12 answers, of all models: 10 % of tokens/s, 25 % of the first token.'
    ])
  })

  it.each<[string, Partial<PlanView>]>([
    ['does not fit here', { alone: NOTHING_ALONE, faster: undefined }],
    ['fits here, and its speed is not known', { alone: { ...NOTHING_ALONE, fits: true }, faster: undefined }],
    ['is of a size that nobody tells', { alone: { ...NOTHING_ALONE, fits: undefined }, size: undefined }],
    ['has layers that nobody serves', { swarm: MISSING, faster: undefined }],
    ['has no room anywhere', { swarm: { kind: 'blocked', message: 'All are busy.' }, faster: undefined }],
    ['is faster in the swarm', { faster: 'swarm' }]
  ])('says in the words of the command that a model %s', async (_what, changes) => {
    const { verdict, facts, notes } = await told(changes)
    const said = planLines({ ...PLAN, ...changes }, painter({}, {}))
    // Numbers of more than three digits are rounded here.
    const lines = said.map(line => line.replace('400.0 ms', '400 ms').replace('500.0 ms', '500 ms'))
    const [alone, swarm] = ['alone  ', 'swarm  '].map(key =>
      lines.find(line => line.startsWith(key))?.slice(key.length)
    )
    expect(facts.slice(0, 2)).toEqual([alone, swarm])
    for (const line of lines.filter(text => text.startsWith('Layers '))) expect(notes).toContain(line)
    const last = lines.at(-1) ?? ''
    if (changes.faster === 'swarm') expect(verdict).toBe(last)
    else expect(verdict).not.toBe('')
  })

  it('has the gist in a sentence where neither way is known to be faster', async () => {
    const gist = async (changes: Partial<PlanView>): Promise<string> =>
      (await told({ faster: undefined, ...changes })).verdict
    expect(await gist({ swarm: MISSING })).toBe('The swarm cannot answer: nobody serves layers 4-6, 2-3, 0-1.')
    expect(await gist({ swarm: { kind: 'blocked', message: 'All are busy.' } })).toBe(
      'The swarm cannot answer now: All are busy.'
    )
    expect(await gist({ alone: NOTHING_ALONE })).toMatch(
      /^The swarm would answer with 33\.3 tokens\/s, first after 500/
    )
    const { swarm } = PLAN
    if (swarm.kind !== 'route') throw new Error('the plan has no route')
    const stages = swarm.stages.filter(({ local }) => local)
    expect(await gist({ swarm: { ...swarm, stages, limit: { kind: 'network', share: 0.7 } } })).toBe(
      'The route is this machine alone.'
    )
    expect(await page.locator('.expected dd').nth(2).textContent()).toBe('the network and its hops: 70 % of each token')
  })

  it('says how far off estimates were only where answers tell', async () => {
    accuracy = { answers: 1, tokensPerSecond: undefined, firstToken: 0.25 }
    expect((await told({})).notes.at(-1)).toBe(
      'Median error of the last 1 answer, of all models: 25 % of the first token.'
    )
    accuracy = { answers: 0, tokensPerSecond: undefined, firstToken: undefined }
    expect((await told({})).notes.at(-1)).toMatch(/^No answers yet/)
    accuracy = ACCURACY
  })

  it('asks for a prompt of so many tokens, and for none without any', async () => {
    await page.getByLabel('Tokens of the prompt').fill('2000')
    await told({})
    expect(plan).toHaveBeenLastCalledWith(
      { model: TOY.record.models[0]?.manifest, promptTokens: 2_000 },
      expect.anything()
    )
    const before = plan.mock.calls.length
    for (const nonsense of ['0', '', '1.5', '99999999']) {
      await page.getByLabel('Tokens of the prompt').fill(nonsense)
      await estimate()
      expect(await page.locator('.expect input:invalid').count()).toBe(1)
    }
    expect(plan.mock.calls.length).toBe(before)
    await page.getByLabel('Tokens of the prompt').fill('128')
  })

  it('says why there is no estimate', async () => {
    plan.mockRejectedValueOnce(new PipelineError('UNKNOWN_MODEL', 'Nobody offers it any more.'))
    await estimate()
    await page.getByRole('alert').getByText('Nobody offers it any more.').waitFor()
    expect(await page.locator('.verdict').textContent()).toBe('')
    await told({})
    expect(await page.locator('.expected [role=alert]').count()).toBe(0)
  })

  it('keeps what was asked, and the focus, while models come and go', async () => {
    await told({})
    await page.getByLabel('Tokens of the prompt').focus()
    nodes = [TOY, ANOTHER]
    const names = async (): Promise<string[]> => page.locator('.model h3').allTextContents()
    await expect.poll(names).toEqual(['Another complete', 'Toy complete'])
    const focused = async (): Promise<string> =>
      page.evaluate<string>(`document.activeElement.closest('.model')?.querySelector('h3').textContent ?? 'nothing'`)
    expect(await focused()).toBe('Toy complete')
    expect(await page.locator('.model', { hasText: 'Toy' }).locator('.expected .route li').count()).toBe(2)
    nodes = [TOY]
    await expect.poll(names).toEqual(['Toy complete'])
    expect(await focused()).toBe('Toy complete')
  })

  it('says how busy each node is', async () => {
    const load = { freeSessions: 2, freeContext: 1_000, queue: 1.26, secondsPerLayer: 0.0125 }
    nodes = [
      TOY,
      nodeView('b', [held({ shards: [shard(0, 3, load)] })]),
      nodeView('c', [held({ shards: [shard(0, 3, { ...load, freeSessions: 0 }), shard(3, 6, { freeContext: 0 })] })]),
      nodeView('d', [held({ shards: [shard(0, 3)] })], { state: 'draining' }),
      nodeView('e', []),
      nodeView('f', [held({ shards: [shard(0, 3)] })])
    ]
    await expect
      .poll(async () => page.locator('.peers td[data-label=Load]').allTextContents())
      .toEqual([
        '4 sessions free, nothing waits512 positions free, 1.00 ms a layer',
        '2 sessions free, 1.3 steps wait1000 positions free, 12.5 ms a layer',
        'Toy 0-3: full, 1.3 steps wait1000 positions free, 12.5 ms a layer' +
          'Toy 3-6: full, nothing waits0 positions free, 1.00 ms a layer',
        ...['takes no sessions', 'none', 'not asked']
      ])
    expect(await page.locator('.load .tag.warn').allTextContents()).toEqual(['full', 'full'])
  })

  it.each(['light', 'dark'] as const)(
    'can be read in a %s scheme, on a phone, whatever names are',
    async colorScheme => {
      const named = held({
        name: LONG,
        manifest: 'ef'.repeat(32),
        shards: [shard(0, 3, { freeSessions: 0 }), shard(3, 6)]
      })
      nodes = [
        TOY,
        nodeView('b', [held({ shards: [shard(0, 6, { freeSessions: 0 })] })]),
        nodeView('c', [named], { name: LONG })
      ]
      const { swarm } = PLAN
      if (swarm.kind !== 'route') throw new Error('the plan has no route')
      plan.mockResolvedValueOnce({
        ...PLAN,
        swarm: { ...swarm, stages: swarm.stages.map(one => ({ ...one, name: LONG })) }
      })
      const phone = await open()
      await phone.emulateMedia({ colorScheme })
      await phone.setViewportSize({ width: 360, height: 740 })
      await estimate(phone)
      await phone.locator('.expected .route').waitFor()
      expect(await phone.evaluate<number>('document.documentElement.scrollWidth')).toBe(360)
      expect(await phone.evaluate(FAINT)).toEqual([])
      await phone.close()
    }
  )
})
