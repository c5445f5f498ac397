/** The page of a node: three views, kept up to date by what the node tells. */
import { changes } from './changes.js'
import { Chat } from './chat.js'
import { el, show } from './dom.js'
import { follow } from './live.js'
import { NodeView } from './node.js'
import { takeSecret } from './owner.js'
import { recoveryText } from './route.js'
import { SwarmView } from './swarm.js'

/** @import { LiveState, Snapshots } from './live.js' */

const FOR_OWNER =
  "This view is for the node's owner, on the node's own machine: open the page by the address that `flambeau status` shows."

const TITLES = /** @type {const} */ ({ chat: 'Chat', swarm: 'Swarm', node: 'Node' })

/** @param {string} id @returns {HTMLElement} */
function byId(id) {
  const element = document.getElementById(id)
  if (element === null) throw new Error(`the page has no #${id}`)
  return element
}

/** A view that only the owner sees. @param {'swarm' | 'node'} name */
function ownersView(name) {
  const live = el('div', { hidden: true })
  const waiting = el('p', { class: 'help' }, 'Waiting for the node …')
  byId(name).append(el('h1', { id: `${name}-title`, tabindex: -1 }, TITLES[name]), waiting, live)
  return { live, waiting }
}

function route() {
  const wanted = location.hash.slice(1)
  const name = wanted === 'swarm' || wanted === 'node' ? wanted : 'chat'
  for (const view of Object.keys(TITLES)) {
    show(byId(view), view === name)
    const link = document.querySelector(`nav a[href="#${view}"]`)
    if (view === name) link?.setAttribute('aria-current', 'page')
    else link?.removeAttribute('aria-current')
  }
  document.title = `${TITLES[name]} · Flambeau`
  return name
}

takeSecret()
const swarmRoot = ownersView('swarm')
const nodeRoot = ownersView('node')
const swarm = new SwarmView(swarmRoot.live)
const node = new NodeView(nodeRoot.live)
const chat = new Chat(byId('chat'), recovery => swarm.happened(`In an answer of yours, ${recoveryText(recovery)}`))
/** @type {Snapshots} */
let before = {}

follow({
  onChange(/** @type {Snapshots} */ now) {
    for (const what of changes(before, now)) swarm.happened(what)
    if (before.models !== undefined && before.models !== now.models) void chat.refreshModels()
    swarm.update(now)
    if (now.status !== undefined && now.status !== before.status) node.update(now.status)
    before = now
  },
  onState(/** @type {LiveState} */ state, /** @type {string} */ problem) {
    const shown = byId('live')
    // Said aloud each time it is written.
    if (shown.textContent !== problem) shown.textContent = problem
    for (const { live, waiting } of [swarmRoot, nodeRoot]) {
      if (state === 'refused') waiting.textContent = FOR_OWNER
      show(waiting, state === 'refused' || before.status === undefined)
      show(live, state !== 'refused' && before.status !== undefined)
    }
  }
})

window.addEventListener('hashchange', () => {
  if (location.hash === '#content') return
  byId(`${route()}-title`).focus()
})
route()
