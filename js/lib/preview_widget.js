/** The preview as a widget of a node: its size, its place in menus and panels, and its end. */

import { WIDGET } from './messages.js'
import { passToCanvas } from './pointer.js'
import { PreviewView } from './view.js'

const MIN_HEIGHT = 260
const HIDDEN_HEIGHT = 60
/** Of a node that was just placed: room for a portrait. */
const FRESH_SIZE = [420, 640]
const HIDDEN = 'flashtalk_hide_preview'

/**
 * @typedef {object} WidgetOptions
 * @property {(path: string) => string} urlOf
 * @property {() => HTMLCanvasElement | null} canvas - of the page
 * @property {typeof PreviewView} [View] - what is shown; the preview of a render unless given
 * @property {string} [name] - of the widget, and its type
 * @property {import('./view.js').ViewOptions} view
 * @property {() => void} onAdded
 * @property {() => void} onRemoved
 */

export class PreviewWidget {
  /**
   * @param {any} node
   * @param {WidgetOptions} options
   */
  constructor(node, { urlOf, canvas, View = PreviewView, name = WIDGET, view, onAdded, onRemoved }) {
    this.node = node
    this.onRemoved = onRemoved
    const onPlayer = (/** @type {boolean} */ hasPlayer) => (node.hideOutputImages = hasPlayer)
    this.view = new View(urlOf, { ...view, onPlayer })
    const { root } = this.view
    // Nodes 2.0 passes on itself what its own elements do not take.
    passToCanvas(root, () => (root.closest('.lg-node') ? null : canvas()))
    this.widget = addWidget(node, name, root, () => (this.isHidden ? HIDDEN_HEIGHT : MIN_HEIGHT))
    this.isGone = false
    if (node.subgraph) this.listOnSubgraph()
    chain(node, 'onAdded', () => this.isGone || onAdded())
    chain(node, 'onRemoved', () => this.forget())
    chain(node, 'onConfigure', () => this.refresh())
    hideNative(node)
    leaveToNode(node, this.widget)
    this.refresh()
  }

  /** Pages up to 1.45 list nothing but promoted widgets on the node of a subgraph. */
  listOnSubgraph() {
    const { node, widget } = this
    const list = Object.getOwnPropertyDescriptor(node, 'widgets')
    if (!list?.get || !list.configurable) return
    const get = () => {
      const others = list.get?.call(node) ?? []
      return this.isGone || others.includes(widget) ? others : [...others, widget]
    }
    Object.defineProperty(node, 'widgets', { ...list, get })
  }

  /** @param {any} node */
  static freshSize(node) {
    const [width, height] = node.computeSize()
    return [Math.max(width, FRESH_SIZE[0]), Math.max(height, FRESH_SIZE[1])]
  }

  get isHidden() {
    return Boolean(this.node.properties?.[HIDDEN])
  }

  /** Kept with the workflow. @param {boolean} isHidden */
  hide(isHidden) {
    if (isHidden) this.node.properties[HIDDEN] = true
    else delete this.node.properties[HIDDEN]
    if (isHidden) this.view.video.pause()
    this.refresh()
  }

  refresh() {
    this.view.root.toggleAttribute('data-hidden', this.isHidden)
    this.node.setDirtyCanvas?.(true, true)
  }

  forget() {
    this.view.close()
    this.onRemoved()
  }

  /** From a node that stays. */
  remove() {
    this.forget()
    this.isGone = true
    if (this.node.widgets?.includes(this.widget)) this.node.removeWidget?.(this.widget)
    this.widget.onRemove?.()
  }
}

/**
 * @param {any} node
 * @param {string} name
 * @param {HTMLElement} root
 * @param {() => number} getMinHeight
 */
function addWidget(node, name, root, getMinHeight) {
  const options = { serialize: false, hideOnZoom: false, hideInPanel: true, getMinHeight }
  const widget = node.addDOMWidget(name, name, root, options)
  widget.serialize = false // the option keeps it out of the prompt, this out of the workflow
  return widget
}

/** @param {any} node @param {string} name @param {() => void} then */
function chain(node, name, then) {
  const before = node[name]
  node[name] = function () {
    const result = before?.apply(this, arguments)
    then()
    return result
  }
}

/**
 * Keep the classic renderer from drawing its own player and images below this one.
 * @param {any} node
 */
function hideNative(node) {
  const { onDrawBackground } = node
  node.onDrawBackground = function () {
    if (!node.hideOutputImages) return onDrawBackground?.apply(this, arguments)
  }
}

/**
 * A press on the player is one on the node: it drags it, and no menu offers the widget as a value.
 * @param {any} node
 * @param {any} widget
 */
function leaveToNode(node, widget) {
  const { getWidgetOnPos } = node
  if (!getWidgetOnPos) return
  node.getWidgetOnPos = function () {
    const found = getWidgetOnPos.apply(this, arguments)
    return found === widget ? undefined : found
  }
}
