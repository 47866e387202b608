/** ComfyUI's side of the preview: widgets on Stream Preview and Live nodes, and around them, fed by messages. */

import { app } from '../../scripts/app.js'
import { api } from '../../scripts/api.js'
import { executionIds, innerIds, pathsWithin, subgraphNodes } from './lib/execution_ids.js'
import { cachedMessage, findInHistory, rememberRun } from './lib/history.js'
import { EVENT as LIVE_EVENT, WIDGET as LIVE_WIDGET } from './lib/live_messages.js'
import { LiveView } from './lib/live_view.js'
import { KEY, StreamMemory, isAbout } from './lib/memory.js'
import { menuItems } from './lib/menu.js'
import { EVENT, LIVE } from './lib/messages.js'
import { fillNames, fillNamesOf } from './lib/names.js'
import { PreviewWidget } from './lib/preview_widget.js'
import { Runs } from './lib/runs.js'
import { speakIn } from './lib/words.js'

/** @typedef {import('./lib/messages.js').StreamMessage} StreamMessage */

const NODE = 'FlashTalk_StreamPreview'
const LIVE_NODE = 'FlashTalk_Live'
const KINDS = [NODE, LIVE_NODE]
const NO_ID = '00000000-0000-0000-0000-000000000000'
const LOOP_KEY = 'flashtalk.playOnce'

/** @type {Map<any, PreviewWidget>} by node, of nodes that are in a graph */
const widgets = new Map()

function openStorage() {
  try {
    return window.localStorage
  } catch {
    return null // forbidden by the browser's settings
  }
}

const storage = openStorage()
const memory = new StreamMemory(storage)
const say = speakIn(() => app.extensionManager?.setting?.get('Comfy.Locale') ?? 'en')
const loops = () => storage?.getItem(LOOP_KEY) !== 'yes'
/** @type {Map<string, import('./lib/runs.js').Activity>} what came last, by workflow and id */
const activities = new Map()
/** Nodes whose own messages of this run came: what ComfyUI says of its end says less. */
const spoken = new Set()
const runs = new Runs(KINDS, (workflow, id, activity) => {
  const key = `${workflow}:${id}`
  const isKnown = spoken.has(key) && activity?.state !== 'queued'
  if (activity && !isKnown) activities.set(key, activity)
  else activities.delete(key)
  if (activity?.state === 'queued') spoken.delete(key)
  for (const [node, { view }] of widgets)
    if ((workflow === null || workflow === workflowId()) && idsOf(node).includes(id))
      view.follow(activity)
}, (id) => rememberRun(storage, id))

/** @returns {any} */
const rootGraph = () => app.rootGraph ?? app.graph
const workflowId = () => rootGraph()?.id ?? null
/** @param {any} node - a preview, or a subgraph that holds some */
const idsOf = (node) =>
  node.subgraph ? innerIds(rootGraph(), node, NODE) : executionIds(rootGraph(), node)

/** A workflow made of a prompt in API form comes without an id, which identifies its runs. */
function ensureWorkflowId() {
  const graph = rootGraph()
  if (graph?.id === NO_ID) graph.id = window.LiteGraph.uuidv4()
}

/** Show what is known of a node that has come. @param {any} node */
async function resume(node) {
  ensureWorkflowId()
  const [ids, workflow] = [idsOf(node), workflowId()]
  const kept = memory.find(workflow, ids)
  // A tab that was closed before the stream began knows of no session to ask for.
  const isVague = !kept || (kept.message.state === LIVE && !kept.message.session)
  if (kept && !isVague) {
    const view = widgets.get(node)?.view
    view?.show(kept.message, kept.takes)
    view?.asking.hurry() // much may have happened since
  }
  for (const id of ids) widgets.get(node)?.view.recall(activities.get(`${workflow}:${id}`) ?? null)
  if (!isVague || !ids.length) return
  const found = await findInHistory(api, storage, workflow, ids)
  if (found && !widgets.get(node)?.view.message) take(found)
}

/** Keep a message, and show it on the nodes it is about. @param {StreamMessage} message */
function take(message) {
  memory.keep(message)
  activities.delete(`${message.workflow}:${message.node}`)
  spoken.add(`${message.workflow}:${message.node}`)
  for (const [node, { view }] of widgets) {
    const ids = idsOf(node)
    if (isAbout(message, workflowId(), ids))
      view.show(message, memory.find(message.workflow, ids)?.takes)
  }
}

/** Another tab of this browser stored its messages; the server sends them to the one that queued. */
function takeFromOtherTabs() {
  memory.reload()
  for (const [node, { view }] of widgets) {
    const kept = memory.find(workflowId(), idsOf(node))
    const isNews = kept && kept.atMs > view.shownMs
    if (isNews && JSON.stringify(kept.message) !== JSON.stringify(view.message))
      view.show(kept.message, kept.takes)
  }
}

/** @param {any} node */
function addPreview(node) {
  const widget = new PreviewWidget(node, {
    urlOf: (path) => api.apiURL(path),
    canvas: () => app.canvas?.canvas ?? null,
    ...(node.comfyClass === LIVE_NODE ? { View: LiveView, name: LIVE_WIDGET } : {}),
    view: { onMissed: take, say, loops },
    onAdded: () => widgets.set(node, widget),
    onRemoved: () => widgets.delete(node),
  })
  if (node.graph) widgets.set(node, widget)
  setTimeout(() => void resume(node)) // its id and graph are set once it is made
}

/** @param {any} node */
function showCached(node) {
  const { onExecuted } = node
  node.onExecuted = function (/** @type {any} */ output) {
    const file = output?.images?.[0]
    const [id] = executionIds(rootGraph(), node)
    if (file && id && !widgets.get(node)?.view.has(file)) take(cachedMessage(file, workflowId(), id))
    return onExecuted?.apply(this, arguments)
  }
}

/** Subgraphs that hold a preview show it outside, too. */
function tendSubgraphs() {
  for (const host of subgraphNodes(rootGraph()))
    if (!widgets.has(host) && innerIds(rootGraph(), host, NODE).length) addPreview(host)
  for (const [node, widget] of widgets)
    if (node.subgraph && !idsOf(node).length) widget.remove()
}

function addStyle() {
  const link = document.createElement('link')
  link.rel = 'stylesheet'
  link.href = new URL('./flashtalk_preview.css', import.meta.url).href
  document.head.append(link)
}

app.registerExtension({
  name: 'flashtalk.preview',
  setup() {
    addStyle()
    for (const event of [EVENT, LIVE_EVENT])
      api.addEventListener(event, (/** @type {CustomEvent} */ { detail }) => take(detail))
    window.addEventListener('storage', ({ key }) => {
      if (key === KEY) takeFromOtherTabs()
    })
    runs.follow(api, (prompt, ids) => {
      tendSubgraphs()
      for (const id of ids) fillNames(prompt[id].inputs, rootGraph())
    })
  },
  /** @param {any} node */
  nodeCreated(node) {
    if (KINDS.includes(node.comfyClass)) {
      addPreview(node)
      showCached(node)
      node.setSize?.(PreviewWidget.freshSize(node))
      fillNamesOf(node, rootGraph)
    }
    // At once where possible: a page may not read the widgets of a node after it was added.
    if (node.subgraph && pathsWithin(node.subgraph, NODE).length) addPreview(node)
    else if (node.comfyClass === NODE || node.subgraph) setTimeout(tendSubgraphs)
  },
  /** @param {any} node */
  getNodeMenuItems(node) {
    const widget = widgets.get(node)
    if (!widget) return []
    const loop = (/** @type {boolean} */ isOn) => storage?.setItem(LOOP_KEY, isOn ? 'no' : 'yes')
    const { view, isHidden } = widget
    return menuItems({ view, say, isHidden, hide: (isOn) => widget.hide(isOn), loops: loops(), loop })
  },
  afterConfigureGraph() {
    tendSubgraphs()
    for (const [node, widget] of [...widgets]) {
      // Nodes inside the subgraphs of a workflow that was left get no event of their removal.
      if (idsOf(node).length) void resume(node)
      else widget.remove()
    }
  },
})
