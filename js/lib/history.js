/** Videos of runs that sent this page no message: out of ComfyUI's cache, or its history. */

import { FINISHED } from './messages.js'

const NUM_RUNS = 8
const KEY = 'flashtalk.runs'
const MAX_OWN = 50

/** @typedef {import('./messages.js').FileMessage} FileMessage */
/** @typedef {import('./messages.js').StreamMessage} StreamMessage */

/**
 * The message that would have been sent about a finished file.
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

/** Ids of prompts that this browser queued. @param {Storage | null} storage @returns {string[]} */
function ownRuns(storage) {
  try {
    return JSON.parse(storage?.getItem(KEY) ?? '[]')
  } catch {
    return []
  }
}

/**
 * Remember that this browser queued a prompt, so that runs of others with the same workflow are left alone.
 * @param {Storage | null} storage
 * @param {string} id
 */
export function rememberRun(storage, id) {
  try {
    storage?.setItem(KEY, JSON.stringify([...ownRuns(storage), id].slice(-MAX_OWN)))
  } catch {
    // A full or forbidden storage costs the search in the history, no more.
  }
}

/**
 * The newest video of a node in ComfyUI's history, of runs of this browser, as a message, or null.
 * @param {any} api - ComfyUI's
 * @param {Storage | null} storage
 * @param {string | null} workflow
 * @param {string[]} nodes - execution ids of the node
 * @returns {Promise<StreamMessage | null>}
 */
export async function findInHistory(api, storage, workflow, nodes) {
  const own = new Set(ownRuns(storage))
  if (workflow === null || !own.size) return null
  const answer = await api.fetchApi(`/history?max_items=${NUM_RUNS}`).catch(() => null)
  const runs = answer?.ok ? await answer.json().catch(() => null) : null
  const newestFirst = Object.entries(runs ?? {}).reverse()
  for (const [run, { prompt, outputs }] of newestFirst) {
    if (!own.has(run) || prompt?.[3]?.extra_pnginfo?.workflow?.id !== workflow) continue
    const node = nodes.find((id) => outputs?.[id]?.images?.[0])
    if (node) return cachedMessage(outputs[node].images[0], workflow, node)
  }
  return null
}
