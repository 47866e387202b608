/** The line below the video of a live session. */

import { CLOSED, LIMIT, SILENT } from './live_messages.js'
import { FAILED, FINISHED, INTERRUPTED, LIVE } from './messages.js'

/** @typedef {import('./live_messages.js').LiveMessage} LiveMessage */
/** @typedef {import('./words.js').Say} Say */

/** @type {Record<string, string>} */
const ENDS = { [CLOSED]: 'endedClosed', [LIMIT]: 'endedLimit', [SILENT]: 'endedIdle' }

/**
 * @param {LiveMessage} message
 * @param {string} microphone - what is wrong with it, a whole sentence; else empty
 * @param {Say} say
 */
export function liveStatusLine(message, microphone, say) {
  if (message.state === LIVE) return listening(message, microphone, say).filter(Boolean).join(' · ')
  return ended(message, say).filter(Boolean).join(' · ')
}

/**
 * @param {LiveMessage} message
 * @param {string} microphone
 * @param {Say} say
 */
function listening(message, microphone, say) {
  if (!message.session) return [message.text ? say.server(message.text) : say('preparing')]
  const { response_ms, waiting_s, seconds, limit_s } = message
  return [
    microphone,
    say(message.speaking ? 'speaking' : 'listening'),
    response_ms === null ? '' : say('response', { seconds: (response_ms / 1000).toFixed(2) }),
    waiting_s > 0 ? say('waitingSound', { seconds: waiting_s.toFixed(1) }) : '',
    say('minutes', { now: clock(seconds), limit: clock(limit_s) }),
    say('queueWaits'),
  ]
}

/** @param {LiveMessage} message @param {Say} say */
function ended({ state, reason, seconds, file }, say) {
  const length = seconds ? say('seconds', { seconds: seconds.toFixed(1) }) : ''
  const name = file?.filename ?? ''
  switch (state) {
    case FINISHED:
      return [say(ENDS[reason ?? ''] ?? 'finished'), length, name]
    case INTERRUPTED:
      return [say('stopped'), length, name]
    case FAILED:
      return [say('failed', { reason: reason ? say.server(reason) : say('unknownError') }), name]
  }
  return []
}

/** @param {number} seconds */
function clock(seconds) {
  const whole = Math.round(seconds)
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, '0')}`
}
