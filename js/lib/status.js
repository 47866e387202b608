/** The line below the picture. */

import { COPIED, FAILED, FINISHED, INTERRUPTED, LIVE } from './messages.js'

/**
 * @typedef {object} Shown
 * @property {import('./player.js').Mode} mode
 * @property {boolean} isWaiting
 * @property {boolean} isPaused
 * @property {boolean} isLost - the stream broke off
 * @property {number} ahead - seconds
 * @property {number} drift - seconds
 * @property {string} why
 */

/** @param {import('./messages.js').StreamMessage} message */
function progress(message) {
  const { chunk, num_chunks, frames, frame_rate_hz, frames_per_s } = message
  const parts = [`chunk ${chunk}/${num_chunks}`]
  if (frames_per_s > 0) {
    const speed = frames_per_s / frame_rate_hz
    parts.push(`${frames_per_s.toFixed(1)} frames/s, ${speed.toFixed(2)}x real time`)
    const behind = frames / frames_per_s - frames / frame_rate_hz
    if (speed < 1) parts.push(`${behind.toFixed(1)} s behind real time`)
  }
  return parts
}

/**
 * @param {import('./messages.js').StreamMessage | null} message
 * @param {Shown} shown
 */
export function statusLine(message, shown) {
  if (!message) return 'Queue the workflow to see it talk.'
  // What ComfyUI had in its cache comes without numbers.
  const length = message.num_frames
    ? ` · ${(message.num_frames / message.frame_rate_hz).toFixed(1)} s`
    : ''
  switch (message.state) {
    case LIVE: {
      if (shown.mode === 'pictures') return `No video in this browser (${shown.why}), pictures only`
      const parts = progress(message)
      if (shown.isLost) return [...parts, 'stream lost, waiting for the file'].join(' · ')
      parts.push(`${shown.ahead.toFixed(1)} s buffered`)
      if (shown.isPaused) parts.push('paused')
      else if (shown.isWaiting) parts.push(message.chunk ? 'waiting for a second' : 'loading')
      else parts.push(`drift ${Math.round(shown.drift * 1000)} ms`)
      return parts.join(' · ')
    }
    case FINISHED:
      return end(`finished${length}`, message, shown)
    case COPIED:
      return end(`same settings as before, copied${length}`, message, shown)
    case INTERRUPTED:
      return end(`interrupted after ${left(message)}`, message, shown)
    case FAILED:
      return end(`failed: ${message.reason ?? 'unknown error'}`, message, shown)
  }
  return ''
}

/** @param {import('./messages.js').StreamMessage} message */
function left(message) {
  const { frames, num_frames, frame_rate_hz } = message
  const [made, all] = [frames, num_frames].map((count) => (count / frame_rate_hz).toFixed(1))
  return `${made} of ${all} s`
}

/**
 * @param {string} text
 * @param {import('./messages.js').StreamMessage} message
 * @param {Shown} shown
 */
function end(text, message, shown) {
  const name = message.file ? ` · ${message.file.filename}` : ''
  return text + name + (message.file && shown.mode === 'idle' ? ` (${shown.why})` : '')
}

/**
 * Kind of the state, for colours.
 * @param {import('./messages.js').StreamMessage | null} message
 */
export function statusKind(message) {
  if (message?.state === FAILED || message?.state === INTERRUPTED) return 'bad'
  return message?.state === LIVE ? 'live' : 'done'
}
