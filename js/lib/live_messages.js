/** The server's messages about a live session; mirrors nodes/preview/session_messages.py, and a test compares the two. */

export const EVENT = 'flashtalk.live'
export const ROUTE = '/flashtalk/live/'
export const STREAM = '/stream'
export const SAY = '/say'
export const HEAR = '/hear'
export const CLEAR = '/clear'
export const END = '/end'
export const WIDGET = 'flashtalk_live'

export const CLOSED = 'closed'
export const LIMIT = 'limit'
export const SILENT = 'idle'

/** Sources of sound. */
export const MICROPHONE = 'microphone'
export const SPEECH = 'speech'

/**
 * State of a live session: sent at the start, each second, when it begins to speak or stops, and at
 * the end.
 * @typedef {object} LiveMessage
 * @property {string} node
 * @property {string | null} workflow
 * @property {string | null} session
 * @property {string} state
 * @property {string | null} text - what is being done before the session begins
 * @property {string} source
 * @property {number} rate_hz
 * @property {boolean} speaking
 * @property {number} seconds - since it began
 * @property {number} limit_s
 * @property {number} silence_s
 * @property {number} silence_limit_s
 * @property {number} chunk_s - what a microphone waits for
 * @property {number | null} factor - time of a chunk over its length
 * @property {number | null} response_ms
 * @property {number | null} clear_ms
 * @property {number} waiting_s - of sound that waits to be spoken
 * @property {number} held - frames that showed the last picture again
 * @property {string | null} reason - what went wrong, or why it ended
 * @property {import('./messages.js').FileMessage | null} file - the recording
 * @property {string[]} notes
 */

/**
 * Path of a request about a session, below the server's root.
 * @param {string} session
 * @param {string} verb - one of those above, or none
 */
export function sessionPath(session, verb = '') {
  return ROUTE + encodeURIComponent(session) + verb
}
