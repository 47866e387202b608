/** Videos of runs that this page heard nothing of: out of ComfyUI's cache, or its history. */

import { FINISHED } from './messages.js'

const NUM_RUNS = 8

/** @typedef {import('./messages.js').FileMessage} FileMessage */
/** @typedef {import('./messages.js').StreamMessage} StreamMessage */

/**
 * What would have been told of a finished file.
 * @param {FileMessage} file
 * @param {string | null} workflow
 * @param {string} node - execution id
 * @returns {StreamMessage}
 */
export function cachedMessage({ filename, subfolder, type }, workflow, node) {
  const counts = { chunk: 0, num_chunks: 0, frames: 0, num_frames: 0, frames_per_s: 0, dropped: 0 }
  const nothing = { session: null, reason: null, text: null, notes: [], left_s: null, partial: null }
  const file = { filename, subfolder, type }
  return { ...counts, ...nothing, frame_rate_hz: 25, node, workflow, state: FINISHED, file }
}

/**
 * The newest video of a node in ComfyUI's history, as a message, or null.
 * @param {any} api - ComfyUI's
 * @param {string | null} workflow
 * @param {string[]} nodes - execution ids of the node
 * @returns {Promise<StreamMessage | null>}
 */
export async function findInHistory(api, workflow, nodes) {
  const answer = await api.fetchApi(`/history?max_items=${NUM_RUNS}`).catch(() => null)
  const runs = answer?.ok ? await answer.json().catch(() => null) : null
  const newestFirst = Object.values(runs ?? {}).reverse()
  for (const { prompt, outputs } of newestFirst) {
    if (workflow === null || prompt?.[3]?.extra_pnginfo?.workflow?.id !== workflow) continue
    const node = nodes.find((id) => outputs?.[id]?.images?.[0])
    if (node) return cachedMessage(outputs[node].images[0], workflow, node)
  }
  return null
}
