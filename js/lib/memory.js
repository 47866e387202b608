/** The last message of each node, kept for this tab: for nodes that come back, and reloads. */

const KEY = 'flashtalk.streams'
const MAX_NODES = 50
const ANY = '*'

/** @typedef {import('./messages.js').StreamMessage} StreamMessage */

export class StreamMemory {
  /** @param {Storage | null} storage - null keeps nothing over a reload */
  constructor(storage) {
    this.storage = storage
    /** @type {Map<string, StreamMessage>} the oldest first */
    this.messages = new Map(this.load())
  }

  /** @returns {[string, StreamMessage][]} */
  load() {
    try {
      const found = JSON.parse(this.storage?.getItem(KEY) ?? '[]')
      return Array.isArray(found) ? found : []
    } catch {
      return []
    }
  }

  /** @param {StreamMessage} message */
  keep(message) {
    const key = `${message.workflow ?? ANY}:${message.node}`
    this.messages.delete(key)
    this.messages.set(key, message)
    for (const old of [...this.messages.keys()].slice(0, -MAX_NODES)) this.messages.delete(old)
    try {
      this.storage?.setItem(KEY, JSON.stringify([...this.messages]))
    } catch {
      // A full or forbidden storage costs the memory over a reload, no more.
    }
  }

  /**
   * The last message of a node, or null.
   * @param {string | null} workflow
   * @param {string[]} nodes - execution ids of the node
   */
  find(workflow, nodes) {
    const keys = nodes.flatMap((node) => [`${workflow ?? ANY}:${node}`, `${ANY}:${node}`])
    const order = [...this.messages.keys()]
    const newest = keys.sort((a, b) => order.indexOf(b) - order.indexOf(a))[0]
    return this.messages.get(newest) ?? null
  }
}

/**
 * Whether a message is about a node.
 * @param {StreamMessage} message
 * @param {string | null} workflow
 * @param {string[]} nodes - execution ids of the node
 */
export function isAbout(message, workflow, nodes) {
  return nodes.includes(message.node) && (message.workflow === null || message.workflow === workflow)
}

/**
 * The execution ids of a node: ids of the subgraph nodes around it, and its own. A subgraph may be
 * placed more than once; a node in no graph has none.
 * @param {any} root - outermost graph
 * @param {any} node
 * @returns {string[]}
 */
export function executionIds(root, node) {
  if (!root || !node.graph) return []
  if (node.graph === root) return [String(node.id)]
  return (root.nodes ?? []).flatMap((/** @type {any} */ outer) =>
    outer.subgraph
      ? executionIds(outer.subgraph, node).map((inner) => `${outer.id}:${inner}`)
      : [])
}
