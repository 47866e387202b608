/** The last message and the earlier takes of each node, kept by the browser for all its tabs. */

import { COPIED, FINISHED, filePath } from './messages.js'

export const KEY = 'flashtalk.streams'
const MAX_NODES = 50
const MAX_TAKES = 20
const MAX_AGE_MS = 30 * 24 * 3600 * 1000

/** @typedef {import('./messages.js').FileMessage} FileMessage */
/** @typedef {import('./messages.js').StreamMessage} StreamMessage */
/**
 * @typedef {object} Kept
 * @property {StreamMessage} message - the last one
 * @property {FileMessage[]} takes - finished videos, the oldest first
 * @property {number} atMs - when it was kept
 */

export class StreamMemory {
  /** @param {Storage | null} storage - null keeps nothing over a reload */
  constructor(storage) {
    this.storage = storage
    this.isFull = false
    /** @type {Map<string, Kept>} the oldest first */
    this.nodes = new Map()
    this.reload()
  }

  /** Take over what other tabs wrote. */
  reload() {
    if (!this.storage || this.isFull) return
    try {
      const found = JSON.parse(this.storage.getItem(KEY) ?? '[]')
      const oldest = Date.now() - MAX_AGE_MS
      const isKept = (/** @type {any} */ pair) => pair[1].message && pair[1].atMs > oldest
      this.nodes = new Map(found.filter(isKept))
    } catch {
      // What cannot be read is written again by the next message.
    }
  }

  /**
   * Keep a message. Without a workflow it is shown once and not kept: ids of nodes alone say little.
   * @param {StreamMessage} message
   */
  keep(message) {
    if (message.workflow === null) return
    this.reload()
    const key = `${message.workflow}:${message.node}`
    const takes = addTake(this.nodes.get(key)?.takes ?? [], message)
    this.nodes.delete(key)
    this.nodes.set(key, { message, takes, atMs: Date.now() })
    for (const old of [...this.nodes.keys()].slice(0, -MAX_NODES)) this.nodes.delete(old)
    try {
      this.storage?.setItem(KEY, JSON.stringify([...this.nodes]))
    } catch {
      // A full or forbidden storage costs the memory over a reload, no more: what it held is old.
      this.isFull = true
    }
  }

  /**
   * What is kept of a node, the newest of its places, or null.
   * @param {string | null} workflow
   * @param {string[]} nodes - execution ids of the node
   */
  find(workflow, nodes) {
    const places = nodes.map((node) => this.nodes.get(`${workflow}:${node}`))
    const known = places.filter((kept) => kept !== undefined)
    return known.sort((a, b) => b.atMs - a.atMs)[0] ?? null
  }
}

/**
 * @param {FileMessage[]} takes
 * @param {StreamMessage} message
 */
function addTake(takes, { state, file }) {
  if (!file || (state !== FINISHED && state !== COPIED)) return takes
  const others = takes.filter((take) => filePath(take) !== filePath(file))
  return [...others, file].slice(-MAX_TAKES)
}

/**
 * Whether a message that came to this page is about a node. The server sends messages to the page
 * that queued alone; one without a workflow is recognised by the node's id.
 * @param {StreamMessage} message
 * @param {string | null} workflow
 * @param {string[]} nodes - execution ids of the node
 */
export function isAbout(message, workflow, nodes) {
  return nodes.includes(message.node) && (message.workflow === null || message.workflow === workflow)
}
