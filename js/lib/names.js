/** `%date:yyyy-MM-dd%` and `%Node.widget%` in file names, filled in as native save nodes do it. */

const INPUT = 'filename_prefix'

/** @param {string} name @param {any} graph - outermost */
function fill(name, graph) {
  const replace = /** @type {any} */ (window).comfyAPI?.utils?.applyTextReplacements
  return typeof name === 'string' && name.includes('%') && replace ? replace(graph, name) : name
}

/**
 * In a prompt: a name that comes from outside a subgraph asks no widget of the node.
 * @param {Record<string, any>} inputs
 * @param {any} graph
 */
export function fillNames(inputs, graph) {
  if (INPUT in inputs) inputs[INPUT] = fill(inputs[INPUT], graph)
}

/**
 * On a node, so that an exported prompt has it too.
 * @param {any} node
 * @param {() => any} graphOf
 */
export function fillNamesOf(node, graphOf) {
  const widget = node.widgets?.find((/** @type {any} */ { name }) => name === INPUT)
  if (widget) widget.serializeValue = () => fill(widget.value, graphOf())
}
