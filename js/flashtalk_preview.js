/** ComfyUI's side of the preview: a widget on each Stream Preview node, fed by messages. */

import { app } from '../../scripts/app.js'
import { api } from '../../scripts/api.js'
import { StreamMemory, executionId, isAbout } from './lib/memory.js'
import { EVENT, WIDGET } from './lib/messages.js'
import { PreviewView } from './lib/view.js'

const NODE = 'FlashTalk_StreamPreview'
const MIN_HEIGHT = 260

/** @type {Map<any, PreviewView>} views by node */
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

/** @param {any} node */
function resume(node) {
  const id = executionId(rootGraph(), node)
  const message = id === null ? null : memory.find(workflowId(), id)
  if (message) views.get(node)?.show(message)
}

/** @param {any} node */
function addPreview(node) {
  const view = new PreviewView(
    (path) => api.apiURL(path),
    (hasPlayer) => (node.hideOutputImages = hasPlayer),
  )
  views.set(node, view)
  const widget = node.addDOMWidget(WIDGET, WIDGET, view.root, {
    serialize: false,
    hideOnZoom: false,
    getMinHeight: () => MIN_HEIGHT,
  })
  widget.serialize = false // the option keeps it out of the prompt, this out of the workflow
  hideNative(node)
  const { onRemoved, onExecuted } = node
  node.onRemoved = function () {
    views.get(node)?.close()
    views.delete(node)
    return onRemoved?.apply(this, arguments)
  }
  node.onExecuted = function (/** @type {any} */ output) {
    const file = output?.images?.[0]
    if (file) view.showCached(file)
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
    api.addEventListener(EVENT, (/** @type {CustomEvent} */ { detail }) => {
      memory.keep(detail)
      for (const [node, view] of views) {
        const id = executionId(rootGraph(), node)
        if (id !== null && isAbout(detail, workflowId(), id)) view.show(detail)
      }
    })
  },
  /** @param {any} node */
  nodeCreated(node) {
    if (node.comfyClass === NODE) addPreview(node)
  },
  afterConfigureGraph() {
    for (const node of views.keys()) resume(node)
  },
})
