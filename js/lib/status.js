/** The line below the video. */

import { COPIED, FAILED, FINISHED, INTERRUPTED, LIVE } from './messages.js'
import { START_S } from './pacing.js'

/** State of a stream that the server no longer knows; only the page says so. */
export const RESTARTED = 'restarted'
/** Video and audio apart by less are in sync for everyone. */
const NOTICED_S = 0.08

/** @typedef {import('./messages.js').StreamMessage} StreamMessage */
/** @typedef {import('./runs.js').Activity} Activity */
/** @typedef {import('./words.js').Say} Say */
/**
 * @typedef {object} Shown
 * @property {import('./player.js').Mode} mode
 * @property {boolean} isWaiting
 * @property {boolean} hasMoved
 * @property {boolean} isPaused
 * @property {boolean} isLost - the stream broke off
 * @property {number} ahead - seconds
 * @property {number} drift - seconds
 * @property {import('./player.js').Why} why
 */

/**
 * @param {StreamMessage | null} message
 * @param {Activity | null} activity - of a run that has not come to the node, or never will
 * @param {Shown} shown
 * @param {Say} say
 */
export function statusLine(message, activity, shown, say) {
  if (activity) return activityLine(activity, say)
  if (!message) return say('idle')
  if (message.state === LIVE) return liveLine(message, shown, say).filter(Boolean).join(' · ')
  return endLine(message, shown, say)
}

/**
 * @param {Activity} activity
 * @param {Say} say
 */
function activityLine({ state, title = '', reason = '' }, say) {
  if (state === 'preparing') return title ? say('preparingNode', { node: title }) : say('preparing')
  if (state !== 'failed') return say(state)
  const values = { node: title, reason: said(firstLine(reason), say) }
  // Nodes of this pack name themselves.
  return say(title && !reason.startsWith(title) ? 'failedNode' : 'failed', values)
}

/** @param {string} text */
function firstLine(text) {
  return text.split('\n')[0]
}

/** What follows the first line of a reason, line by line. @param {string} text */
export function otherLines(text) {
  return text.split('\n').slice(1).filter((line) => line.trim())
}

/** @param {string} reason @param {Say} say */
function said(reason, say) {
  return reason ? say.server(reason) : say('unknownError')
}

/**
 * @param {StreamMessage} message
 * @param {Shown} shown
 * @param {Say} say
 */
function liveLine(message, shown, say) {
  if (shown.mode === 'images')
    return [say('imagesOnly', { why: say(shown.why.key, shown.why.values) })]
  if (!message.session) return [message.text ? say.server(message.text) : say('preparing')]
  const parts = [...progress(message, say), message.text ? say.server(message.text) : '']
  if (shown.isLost) return [...parts, say('lost')]
  parts.push(say('buffered', { seconds: shown.ahead.toFixed(1) }))
  if (shown.isPaused) parts.push(say('paused'))
  else if (shown.isWaiting)
    parts.push(shown.hasMoved ? say('buffering', { seconds: START_S }) : say('loading'))
  else if (Math.abs(shown.drift) > NOTICED_S)
    parts.push(say(shown.drift > 0 ? 'late' : 'early', { ms: Math.abs(Math.round(shown.drift * 1000)) }))
  return parts
}

/**
 * @param {StreamMessage} message
 * @param {Say} say
 */
function progress({ chunk, num_chunks, frames, frame_rate_hz, frames_per_s, left_s }, say) {
  const parts = [say('chunk', { chunk, total: num_chunks })]
  if (frames_per_s > 0) {
    const speed = frames_per_s / frame_rate_hz
    parts.push(say('speed', { fps: frames_per_s.toFixed(1), ratio: speed.toFixed(2) }))
    const behind = frames / frames_per_s - frames / frame_rate_hz
    if (speed < 1) parts.push(say('behind', { seconds: behind.toFixed(1) }))
  }
  if (left_s != null) parts.push(say('left', { time: duration(left_s, say) }))
  return parts
}

/**
 * @param {number} seconds
 * @param {Say} say
 */
function duration(seconds, say) {
  const whole = Math.round(seconds)
  if (whole < 60) return say('seconds', { seconds: whole })
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60]
  const [first, ...rest] = parts[0] ? parts : parts.slice(1)
  return [first, ...rest.map((part) => String(part).padStart(2, '0'))].join(':')
}

/**
 * @param {StreamMessage} message
 * @param {Shown} shown
 * @param {Say} say
 */
function endLine(message, shown, say) {
  const { file, frame_rate_hz, num_frames, frames } = message
  if (message.state === RESTARTED)
    return file
      ? end([say('restarted', { file: file.filename })], null, shown, say)
      : say('restartedEmpty')
  const [made, all] = [frames, num_frames].map((count) => (count / frame_rate_hz).toFixed(1))
  // What ComfyUI had in its cache comes without numbers.
  const length = num_frames ? say('seconds', { seconds: all }) : ''
  switch (message.state) {
    case FINISHED:
      return end([say('finished'), length], file, shown, say)
    case COPIED:
      return end([say('copied'), length], file, shown, say)
    case INTERRUPTED:
      return end([say('interrupted', { made, all })], file, shown, say)
    case FAILED:
      return end([say('failed', { reason: said(message.reason ?? '', say) })], file, shown, say)
  }
  return ''
}

/**
 * @param {string[]} parts
 * @param {import('./messages.js').FileMessage | null} file
 * @param {Shown} shown
 * @param {Say} say
 */
function end(parts, file, { mode, why }, say) {
  const line = [...parts, file?.filename].filter(Boolean).join(' · ')
  return mode === 'idle' && why.key ? `${line} (${say(why.key, why.values)})` : line
}

/**
 * Kind of the state, for colours.
 * @param {StreamMessage | null} message
 * @param {Activity | null} activity
 */
export function statusKind(message, activity) {
  if (activity) return activity.state === 'failed' || activity.state === 'stopped' ? 'bad' : 'live'
  const bad = [FAILED, INTERRUPTED, RESTARTED]
  if (message && bad.includes(message.state)) return 'bad'
  return message?.state === LIVE ? 'live' : 'done'
}
