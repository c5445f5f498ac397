import type { Browser, BrowserContext, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { PlanView } from '../../node/control/plan.js'
import { chromiumObstacle, launchChromium } from '../support/chromium.js'
import { FAINT } from '../support/contrast.js'
import { type Mesh, startMesh, succeed } from '../support/mesh.js'
import { temporaryFolder } from '../support/temporary.js'
import { writeTinyModel } from '../support/tiny-model.js'

const obstacle = chromiumObstacle()
/** A name that a stranger may have chosen. */
const STRANGER = '<b>x</b>'
const LANTERN = 'lantern'
const NAMES = ['node-0', STRANGER, LANTERN]
const VIEWS = ['chat', 'swarm', 'node'] as const
/** Milliseconds in which a change in the swarm is seen on the page. */
const SEEN = { timeout: 30_000 }
/** Of the tiny model. */
const END_TOKEN = 2

const WITHOUT_END = { logit_bias: { [END_TOKEN]: -100 } }
const SHORT = { ...WITHOUT_END, max_tokens: 48 }
/** Takes longer than a node takes to die, and not much longer. */
const MIDDLING = { ...WITHOUT_END, max_tokens: 400 }
const LONG = { ...WITHOUT_END, max_tokens: 2_000 }

interface StoredMessage {
  role: string
  content: string
  note?: string
  course?: { seed: number; route: { name: string }[] }
}

/** The load of a node that nobody asks. */
const IDLE = /^8 sessions free, nothing waits4096 positions free, [\d.]+ ms a layer$/

/** Runs in the browser: remembers how the text of answers grew. */
const WATCH = `(() => {
  window.lengths = new Set()
  const look = () => window.lengths.add(document.querySelector('article.assistant:last-of-type .text')?.textContent.length)
  new MutationObserver(look).observe(document.querySelector('.log'), { childList: true, subtree: true })
})()`

describe.skipIf(obstacle !== undefined)(`the page in a browser ${obstacle ?? ''}`, () => {
  const opened: AsyncDisposable[] = []
  const requested = new Set<string>()
  /** What the browser complained about. */
  const complaints: string[] = []
  let mesh: Mesh
  let url: string
  /** With the secret. */
  let ownersUrl: string
  let browser: Browser
  let context: BrowserContext
  let page: Page
  let fixed = SHORT
  /** Of the two nodes with the second half of the layers, the one that is left. */
  let survivor = 1

  beforeAll(async () => {
    const folder = await temporaryFolder()
    opened.push({ [Symbol.asyncDispose]: () => folder.remove() })
    const { file } = await writeTinyModel(folder.file('tiny.gguf'), { architecture: 'qwen3', context: 4096 })
    mesh = await startMesh({
      nodes: [
        { layers: '0-4', args: ['--gateway', '127.0.0.1:0'] },
        { layers: '4-8', args: ['--name', STRANGER] }
      ],
      models: [{ file, name: 'tiny' }],
      closed: true,
      context: 4096
    })
    opened.push(mesh)
    const status = await mesh.node(0).service.status()
    url = status.gateway ?? ''
    ownersUrl = status.page ?? ''
    browser = await launchChromium()
    opened.push({ [Symbol.asyncDispose]: () => browser.close() })
    context = await browser.newContext({ permissions: ['clipboard-read', 'clipboard-write'] })
    context.on('request', request => requested.add(new URL(request.url()).origin))
    context.on('console', message => {
      if (message.type() === 'error') complaints.push(message.text())
    })
    context.on('weberror', error => complaints.push(error.error().message))
    page = await context.newPage()
    // What the page sends, and how long the answer is: a model of noise ends whenever it likes.
    await page.route('**/v1/chat/completions', async route => {
      const postData = { ...(route.request().postDataJSON() as object), ...fixed }
      await route.continue({ postData })
    })
    await page.goto(ownersUrl)
    expect(page.url()).toBe(`${url}/`) // the secret is not left there
  })

  afterAll(async () => {
    for (const one of opened.reverse()) await one[Symbol.asyncDispose]()
  })

  const visit = async (view: (typeof VIEWS)[number], on = page): Promise<void> => {
    await on.click(`nav a[href="#${view}"]`)
    await on.locator(`#${view} h1`).waitFor()
  }
  const messages = async (): Promise<StoredMessage[]> =>
    page.evaluate<StoredMessage[]>(`JSON.parse(sessionStorage.getItem('flambeau.conversation'))`)
  const text = async (selector: string): Promise<string> => (await page.locator(selector).last().textContent()) ?? ''
  const focused = async (): Promise<string> =>
    page.evaluate<string>('document.activeElement.id || document.activeElement.hash')
  const tabTo = async (what: string): Promise<void> => {
    for (let presses = 0; presses < 30; presses++) {
      await page.keyboard.press('Tab')
      if ((await focused()) === what) return
    }
    throw new Error(`the Tab key does not lead to ${what}`)
  }
  const answered = async (): Promise<void> => page.getByRole('button', { name: 'Regenerate' }).waitFor()

  it('is used with the keyboard alone', async () => {
    for (const view of ['swarm', 'node', 'chat']) {
      await tabTo(`#${view}`)
      await page.keyboard.press('Enter')
      await expect.poll(focused).toBe(`${view}-title`)
    }
    await page.locator('#model option').waitFor({ state: 'attached' })
    await page.evaluate(WATCH)
    await tabTo('prompt')
    await page.keyboard.type('the')
    await page.keyboard.press('Enter')
    await answered()
    expect((await messages()).map(({ role }) => role)).toEqual(['user', 'assistant'])
  })

  it('has streamed the answer that the API gives', async () => {
    const [, answer] = await messages()
    const asked = { model: 'tiny', messages: [{ role: 'user', content: 'the' }], ...fixed }
    const response = await fetch(`${url}/v1/chat/completions`, {
      ...{ method: 'POST', body: JSON.stringify({ ...asked, seed: answer?.course?.seed }) },
      headers: { 'content-type': 'application/json' }
    })
    const { choices } = (await response.json()) as { choices: { message: { content: string } }[] }
    expect(answer?.content).toBe(choices[0]?.message.content)
    const bare = (shown: string): string => shown.replace(/\s/g, '')
    expect(bare(await text('article.assistant .text'))).toBe(bare(answer?.content ?? 'none'))
    expect(await page.evaluate<number>('window.lengths.size')).toBeGreaterThan(2)
  })

  it('draws the route with the name of each node, layers and milliseconds', async () => {
    const stages = await page.locator('.route li').allTextContents()
    expect(stages).toHaveLength(2)
    expect(stages[0]).toMatch(/^node-0 this nodelayers 0-4[\d.]+ ms/)
    expect(stages[1]).toMatch(/^<b>x<\/b>layers 4-8[\d.]+ ms/)
    expect(await text('.facts')).toMatch(/ms on the way per token/)
  })

  it('regenerates an answer', async () => {
    const before = (await messages())[1]?.course?.seed
    await page.getByRole('button', { name: 'Regenerate' }).click()
    await expect.poll(async () => (await messages())[1]?.course?.seed, SEEN).not.toBe(before)
    await answered()
    expect(await page.locator('.log article').count()).toBe(2)
  })

  it('stops an answer, and keeps the conversation when it is loaded again', async () => {
    fixed = LONG
    await page.fill('#prompt', 'go on')
    await page.getByRole('button', { name: 'Send' }).click()
    await page.locator('article.assistant:last-of-type .text:not(:empty)').waitFor()
    await page.getByRole('button', { name: 'Stop' }).click()
    await answered()
    fixed = SHORT
    const before = await messages()
    expect(before.at(-1)).toMatchObject({ role: 'assistant', note: 'Stopped.' })
    await expect
      .poll(async () => (await mesh.status()).map(({ sessions }) => sessions), SEEN)
      .toEqual([
        { served: 0, origin: 0 },
        { served: 0, origin: 0 }
      ])
    await page.reload()
    await page.locator('article').nth(3).waitFor()
    expect(await messages()).toEqual(before)
  })

  it('shows the nodes of the swarm, what they hold, and what hangs on one', async () => {
    await visit('swarm')
    await expect.poll(async () => page.locator('.peers tbody tr').count(), SEEN).toBe(2)
    const rows = await page.locator('.peers tbody tr').allTextContents()
    expect(rows.find(row => row.includes('node-0'))).toMatch(/\(this one\).*online.*self.*tiny 0-4/)
    expect(rows.find(row => row.includes(STRANGER))).toMatch(/online.*direct, [\d.]+ ms.*tiny 4-8/)
    expect(await text('.model h3')).toBe('tiny complete')
    expect(await page.locator('.segment').allTextContents()).toEqual(['0-8 ×1'])
    expect(await text('.model .weak')).toBe('Only one node serves layers 0-8: without it they are missing.')
    expect(await page.locator('b').count()).toBe(0)
  })

  it('shows the load of each node, as the command does', async () => {
    const shown = async (): Promise<string[]> => page.locator('.peers td[data-label=Load]').allTextContents()
    await expect.poll(shown, SEEN).toEqual([expect.stringMatching(IDLE), expect.stringMatching(IDLE)])
    const { stdout } = await mesh.run(0, ['peers'])
    expect(stdout.match(/tiny \d-\d {2}8 free$/gm)).toHaveLength(2)
  })

  it('says what to expect of a model as the command does, asked with the keyboard alone', async () => {
    const [model] = await mesh.node(0).service.models()
    await tabTo(`expect-tokens-${model?.manifest ?? ''}`)
    await page.keyboard.press('Control+A')
    await page.keyboard.type('64')
    await page.keyboard.press('Enter')
    await page.locator('.expected .route li').first().waitFor()
    const plan = await mesh.node(0).home.json<PlanView>(['plan', 'tiny', '--prompt-tokens', '64'])
    if (plan.swarm.kind !== 'route') throw new Error(`no route: ${plan.swarm.kind}`)
    expect(plan.faster).toBe('alone')
    expect(await text('.verdict')).toBe('Alone would be faster: this machine can run the whole model by itself.')
    const stages = await page.locator('.expected .route li').allTextContents()
    expect(stages).toHaveLength(2)
    for (const [i, { name, start, end }] of plan.swarm.stages.entries()) {
      expect(stages[i]?.startsWith(name)).toBe(true)
      expect(stages[i]).toMatch(new RegExp(`layers ${start}-${end}[\\d.]+ ms per token$`))
    }
    const { length: answers } = await mesh.node(0).service.estimates()
    expect(await text('.expected')).toMatch(/First token: for a prompt of 64 tokens\. Estimated at /)
    expect(await text('.expected')).toContain(`Median error of the last ${answers} answers, of all models: `)
  })

  it('pauses the node and resumes it', async () => {
    await visit('node')
    await page.getByRole('button', { name: 'Pause' }).click()
    await expect.poll(async () => (await mesh.node(0).service.status()).state, SEEN).toBe('paused')
    await expect.poll(async () => text('#state'), SEEN).toBe('paused')
    const [pause] = (await mesh.node(0).service.status()).availability.pauses
    expect((pause?.until ?? 0) - Date.now()).toBeGreaterThan(25 * 60_000)
    await page.getByRole('button', { name: 'Resume' }).click()
    await expect.poll(async () => text('#state'), SEEN).toBe('online')
    await mesh.complete('tiny')
    await visit('swarm')
    await expect.poll(async () => text('.model h3'), SEEN).toBe('tiny complete')
    const events = await page.locator('.events li').allTextContents()
    expect(events.join('\n')).toMatch(/tiny is complete[^]*tiny is incomplete: nobody serves 0-4/)
    expect(await page.locator('.expected .route li').count()).toBe(2) // what was asked is still there
  })

  it('shows the invitation that the command shows, as text and as a code', async () => {
    await visit('node')
    await page.getByRole('button', { name: 'Show the invitation' }).click()
    const { invitation } = await mesh.node(0).home.json<{ invitation: string }>(['swarm', 'invite'])
    await expect.poll(async () => page.locator('textarea#invitation').inputValue()).toBe(invitation)
    await page.getByRole('button', { name: 'Copy' }).click()
    await expect.poll(async () => page.evaluate<string>('navigator.clipboard.readText()')).toBe(invitation)
    expect(await page.locator('img.qr').getAttribute('src')).toMatch(/^data:image\/svg\+xml,%3Csvg/)
    const width = async (): Promise<number> => page.evaluate<number>(`document.querySelector('img.qr').naturalWidth`)
    await expect.poll(width).toBeGreaterThan(0)
  })

  it('shows what it has computed', async () => {
    const shown = async (): Promise<string> => text('.throughput figcaption')
    await expect.poll(shown, SEEN).toMatch(/tokens\/s through the layers of this node/)
    expect(await page.locator('.throughput polyline').getAttribute('points')).not.toBe('')
  })

  it.each(['light', 'dark'] as const)('can be read in a %s scheme, and fits on a phone', async colorScheme => {
    const phone = await context.newPage()
    await phone.emulateMedia({ colorScheme })
    await phone.setViewportSize({ width: 360, height: 740 })
    await phone.goto(ownersUrl)
    await phone.locator('#model option').waitFor({ state: 'attached' })
    await phone.fill('#prompt', 'the')
    await phone.keyboard.press('Enter')
    await phone.getByRole('button', { name: 'Regenerate' }).waitFor()
    for (const view of VIEWS) {
      await visit(view, phone)
      if (view !== 'chat') await phone.locator(`#${view} table td`).first().waitFor()
      if (view === 'swarm') await phone.getByRole('button', { name: 'Estimate' }).click()
      if (view === 'swarm') await phone.locator('.expected .route').waitFor()
      if (view === 'node') await phone.getByRole('button', { name: 'Show the invitation' }).click()
      if (view === 'node') await phone.locator('.qr').waitFor()
      expect([view, await phone.evaluate<number>('document.documentElement.scrollWidth')]).toEqual([view, 360])
      expect([view, await phone.evaluate(FAINT)]).toEqual([view, []])
    }
    const background = await phone.evaluate<string>('getComputedStyle(document.body).backgroundColor')
    expect(Number(/\d+/.exec(background)?.[0]) < 128).toBe(colorScheme === 'dark')
    await phone.close()
  })

  it('tells nothing to another user of the machine, who can chat all the same', async () => {
    const other = await browser.newPage()
    await other.goto(url)
    await other.locator('#model option').first().waitFor({ state: 'attached' })
    for (const view of ['swarm', 'node'] as const) {
      await visit(view, other)
      await other.locator(`#${view}`).getByText("for the node's owner").waitFor()
    }
    await other.close()
    const response = await fetch(`${url}/page/invitation`)
    expect(response.status).toBe(403)
  })

  it('tells nothing to whoever has a key', async () => {
    const { stdout } = await succeed(mesh.node(0).home, ['key', 'create', '--name', 'guest'])
    const headers = { authorization: `Bearer ${stdout.trim()}` }
    for (const path of ['/page/events', '/page/invitation', '/page/estimates']) {
      const response = await fetch(`${url}${path}`, { headers })
      const { error } = (await response.json()) as { error: { code: string } }
      expect([response.status, error.code]).toEqual([403, 'owner_only'])
    }
    expect((await fetch(`${url}/v1/models`, { headers })).status).toBe(200)
  })

  it('asks for a key, and is for chat alone, where other machines reach it', async () => {
    const { home } = await mesh.add({ layers: '4-8', args: ['--gateway', 'none', '--name', LANTERN] })
    const { stdout } = await succeed(home, ['key', 'create', '--name', 'guest'])
    mesh.node(2).process.kill('SIGTERM')
    const { service } = await mesh.restart(2, ['--gateway', '0.0.0.0:0'])
    await mesh.complete('tiny')
    const elsewhere = await browser.newPage()
    await elsewhere.goto(((await service.status()).gateway ?? '').replace('0.0.0.0', '127.0.0.1'))
    await elsewhere.getByLabel('API key').fill(stdout.trim())
    await elsewhere.getByRole('button', { name: 'Use it' }).click()
    await elsewhere.locator('#model option').waitFor({ state: 'attached' })
    await elsewhere.fill('#prompt', 'the')
    await elsewhere.keyboard.press('Enter')
    await elsewhere.getByRole('button', { name: 'Regenerate' }).waitFor()
    for (const view of ['swarm', 'node'] as const) {
      await visit(view, elsewhere)
      expect(await elsewhere.locator(`#${view}`).textContent()).toContain("for the node's owner")
    }
    await elsewhere.close()
  })

  it('says that a node was lost in the middle of an answer, and that others took over', async () => {
    const serving = async (index: number): Promise<boolean> =>
      (await mesh.node(index).service.status()).sessions.served > 0
    fixed = MIDDLING
    await visit('chat')
    await page.getByRole('button', { name: 'New conversation' }).click()
    await page.fill('#prompt', 'the')
    await page.keyboard.press('Enter')
    await page.locator('article.assistant .text:not(:empty)').waitFor()
    const lost = (await serving(1)) ? 1 : 2
    survivor = 3 - lost
    mesh.node(lost).process.kill('SIGKILL')
    fixed = SHORT
    await page.locator('article.assistant .course, article.assistant .error').waitFor({ timeout: 90_000 })
    expect(await page.locator('article .error').allTextContents()).toEqual([])
    expect(await text('.recovery')).toMatch(
      new RegExp(`^recovered ${NAMES[lost]} \\(layers 4-8\\) left .* nothing is lost`)
    )
    expect(await page.locator('.log .route li').allTextContents()).toEqual([
      expect.stringMatching(/^node-0 /),
      expect.stringContaining(NAMES[survivor] ?? 'none')
    ])
    await visit('swarm')
    await expect.poll(async () => text('.events'), SEEN).toContain(`In an answer of yours, ${NAMES[lost]}`)
  })

  it('has asked nobody else, and the browser has nothing to complain about', () => {
    expect([...requested].filter(origin => origin !== 'null')).toEqual([new URL(url).origin])
    expect(complaints).toEqual([])
  })

  it('shows what is missing when a node is lost, and why there is no answer', async () => {
    mesh.node(survivor).process.kill('SIGKILL')
    await visit('swarm')
    await expect.poll(async () => text('.model h3'), SEEN).toBe('tiny incomplete')
    expect(await page.locator('.segment').allTextContents()).toEqual(['0-4 ×1', '4-8 ×0'])
    expect(await text('.model .weak')).toContain('Nobody serves layers 4-8.')
    await expect
      .poll(async () => page.locator('.events').textContent(), SEEN)
      .toContain(`${NAMES[survivor]} is not connected`)
    await visit('chat')
    await expect.poll(async () => text('#model option'), SEEN).toBe('tiny (layers 4-8 missing)')
    await page.fill('#prompt', 'still there?')
    await page.keyboard.press('Enter')
    await expect
      .poll(async () => page.locator('article:last-of-type .error').allTextContents(), SEEN)
      .toEqual([expect.stringMatching(/4-8/)])
  })

  it('drains the node once its owner has confirmed it, and says that it is gone', async () => {
    await visit('node')
    await page.getByRole('button', { name: 'Drain and stop …' }).click()
    await page.getByRole('button', { name: 'Go on serving' }).click()
    expect((await mesh.node(0).service.status()).state).toBe('online')
    await page.getByRole('button', { name: 'Drain and stop …' }).click()
    await page.getByRole('button', { name: 'Drain and stop', exact: true }).click()
    expect((await mesh.node(0).process.ended).code).toBe(0)
    await expect.poll(async () => text('#live'), SEEN).toMatch(/does not answer/)
  })
})
