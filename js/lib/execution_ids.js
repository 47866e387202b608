/** Nodes by the ids under which they run: `12:3` is node 3 in subgraph node 12. */

/**
 * The execution ids of a node. A subgraph may be placed more than once; a node in no graph has none.
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

/**
 * The execution ids of all nodes of a kind within a subgraph node, at any depth.
 * @param {any} root - outermost graph
 * @param {any} host - subgraph node
 * @param {string} kind - class of the nodes
 * @returns {string[]}
 */
export function innerIds(root, host, kind) {
  const inside = pathsWithin(host.subgraph, kind)
  if (!inside.length) return []
  return executionIds(root, host).flatMap((place) => inside.map((path) => `${place}:${path}`))
}

/**
 * Ids of all nodes of a kind within a graph, as paths from there.
 * @param {any} graph
 * @param {string} kind
 * @returns {string[]}
 */
export function pathsWithin(graph, kind) {
  return (graph?.nodes ?? []).flatMap((/** @type {any} */ node) => {
    if (node.comfyClass === kind) return [String(node.id)]
    return node.subgraph ? pathsWithin(node.subgraph, kind).map((path) => `${node.id}:${path}`) : []
  })
}

/**
 * All subgraph nodes of a graph, at any depth.
 * @param {any} graph
 * @returns {any[]}
 */
export function subgraphNodes(graph) {
  const hosts = (graph?.nodes ?? []).filter((/** @type {any} */ node) => node.subgraph)
  return hosts.flatMap((/** @type {any} */ host) => [host, ...subgraphNodes(host.subgraph)])
}
