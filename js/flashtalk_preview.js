/** ComfyUI's side of the preview: a widget on each Stream Preview node, fed by messages. */

import { app } from '../../scripts/app.js'
import { api } from '../../scripts/api.js'
import { StreamMemory, executionIds, isAbout } from './lib/memory.js'
import { EVENT, WIDGET } from './lib/messages.js'
import { PreviewView } from './lib/view.js'

/** @typedef {import('./lib/messages.js').StreamMessage} StreamMessage */

const NODE = 'FlashTalk_StreamPreview'
const MIN_HEIGHT = 260
const NO_ID = '00000000-0000-0000-0000-000000000000'

/** @type {Map<any, PreviewView>} views by node, of nodes that are in a graph */
const views = new Map()

function openStorage() {
  try {
    return window.sessionStorage
  } catch {
    return null // forbidden by the browser's settings
  }
}

const memory = new StreamMemory(openStorage())

/** @returns {any} */
const rootGraph = () => app.rootGraph ?? app.graph
const workflowId = () => rootGraph()?.id ?? null

/** A workflow made of a prompt in API form comes without an id, and runs are told apart by it. */
function ensureWorkflowId() {
  const graph = rootGraph()
  if (graph?.id === NO_ID) graph.id = window.LiteGraph.uuidv4()
}

/** @param {any} node */
function resume(node) {
  ensureWorkflowId()
  const message = memory.find(workflowId(), executionIds(rootGraph(), node))
  if (message) views.get(node)?.show(message)
}

/** @param {any} node */
function forget(node) {
  views.get(node)?.close()
  views.delete(node)
}

/** Keep a message, and show it on the nodes it is about. @param {StreamMessage} message */
function take(message) {
  memory.keep(message)
  for (const [node, view] of views)
    if (isAbout(message, workflowId(), executionIds(rootGraph(), node))) view.show(message)
}

/** @param {any} node */
function addPreview(node) {
  const view = new PreviewView(
    (path) => api.apiURL(path),
    (hasPlayer) => (node.hideOutputImages = hasPlayer),
    take,
  )
  if (node.graph) views.set(node, view)
  const widget = node.addDOMWidget(WIDGET, WIDGET, view.root, {
    serialize: false,
    hideOnZoom: false,
    getMinHeight: () => MIN_HEIGHT,
  })
  widget.serialize = false // the option keeps it out of the prompt, this out of the workflow
  hideNative(node)
  const { onAdded, onRemoved, onExecuted } = node
  node.onAdded = function () {
    views.set(node, view)
    return onAdded?.apply(this, arguments)
  }
  node.onRemoved = function () {
    forget(node)
    return onRemoved?.apply(this, arguments)
  }
  node.onExecuted = function (/** @type {any} */ output) {
    const file = output?.images?.[0]
    const [id] = executionIds(rootGraph(), node)
    if (file && id) memory.keep(view.showCached(file, workflowId(), id))
    return onExecuted?.apply(this, arguments)
  }
  setTimeout(() => resume(node)) // its id and graph are set once it is made
}

/**
 * Keep the classic renderer from drawing its own player and pictures below this one.
 * @param {any} node
 */
function hideNative(node) {
  const { onDrawBackground } = node
  node.onDrawBackground = function () {
    if (!node.hideOutputImages) return onDrawBackground?.apply(this, arguments)
  }
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
    api.addEventListener(EVENT, (/** @type {CustomEvent} */ { detail }) => take(detail))
  },
  /** @param {any} node */
  nodeCreated(node) {
    if (node.comfyClass === NODE) addPreview(node)
  },
  afterConfigureGraph() {
    for (const node of [...views.keys()]) {
      // Nodes inside the subgraphs of a workflow that was left are not told that they are removed.
      if (executionIds(rootGraph(), node).length) resume(node)
      else forget(node)
    }
  },
})
