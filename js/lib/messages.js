/** The server's messages about a stream; mirrors nodes/preview/messages.py, and a test compares the two. */

export const EVENT = 'flashtalk.stream'
export const ROUTE = '/flashtalk/stream/'
export const MESSAGE = '/message'
export const FROM = 'from'
export const WIDGET = 'flashtalk_preview'

export const LIVE = 'live'
export const FINISHED = 'finished'
export const COPIED = 'copied'
export const INTERRUPTED = 'interrupted'
export const FAILED = 'failed'

/**
 * A file as ComfyUI's /view takes it.
 * @typedef {object} FileMessage
 * @property {string} filename
 * @property {string} subfolder
 * @property {string} type
 */

/**
 * State of a render: sent at the start, after each chunk and at the end.
 * @typedef {object} StreamMessage
 * @property {string} node
 * @property {string | null} workflow
 * @property {string | null} session
 * @property {string} state
 * @property {number} chunk
 * @property {number} num_chunks
 * @property {number} frames
 * @property {number} num_frames
 * @property {number} frame_rate_hz
 * @property {number} frames_per_s
 * @property {number} dropped
 * @property {FileMessage | null} file
 * @property {string | null} reason
 * @property {string | null} text - what is being done at this moment other than drawing
 * @property {string[]} notes - what the user should know about this render
 * @property {number | null} left_s - estimated seconds left
 * @property {FileMessage | null} partial - the growing file, while live and after a stop if it is left
 */

/**
 * Path of a stream below the server's root.
 * @param {string} session
 * @param {number | null} fromS - where to start, seconds; null is the newest
 */
export function streamPath(session, fromS = null) {
  const query = fromS === null ? '' : `?${FROM}=${Math.max(0, Math.round(fromS * 1000))}`
  return ROUTE + encodeURIComponent(session) + query
}

/**
 * Path of the last message about a stream.
 * @param {string} session
 */
export function messagePath(session) {
  return streamPath(session) + MESSAGE
}

/**
 * Path of a file below the server's root.
 * @param {FileMessage} file
 */
export function filePath({ filename, subfolder, type }) {
  return `/view?${new URLSearchParams({ filename, subfolder, type })}`
}
