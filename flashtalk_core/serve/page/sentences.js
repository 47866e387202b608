/** What the page says of its state, and of what went wrong. */

/** @type {Record<import('./conversation.js').State, string>} */
export const STATES = {
  off: 'Not connected',
  connecting: 'Connecting',
  idle: 'Idle: it listens',
  speaking: 'Speaking',
  lost: 'Connection lost, trying again',
}

/** Why a session is over, by the server's reason or code. @type {Record<string, string>} */
const ENDS = {
  limit: 'The session is over: it reached the server\'s limit (--session-limit).',
  idle: 'The session is over: nobody spoke for as long as the server waits (--idle-limit).',
  gone: 'The session is over: the connection was lost for too long.',
  error: 'The session is over: the server had an error.',
  server: 'The session is over: the server stops.',
  replaced: 'The session goes on elsewhere:',
  unreachable: 'The server does not answer.',
  token: 'The server wants a token: the one it was started with (--token).',
}

/**
 * @param {string} reason
 * @param {string} message - the server's own; '' where it said none
 */
export function endOf(reason, message) {
  if (reason === 'closed') return ''
  return [ENDS[reason] ?? '', reason === 'token' ? '' : message].filter(Boolean).join(' ')
}

export const NO_MICROPHONE_HERE =
  'Browsers give a page the microphone on https:// or on localhost only. Start the server with ' +
  '--tls-cert and --tls-key, or open this page as http://localhost. Sound files work here, too.'

/** @param {Error} error - of the browser */
export function noMicrophone(error) {
  if (error.name === 'NotAllowedError')
    return 'The browser was not allowed to use the microphone; allow it for this page, and choose one above.'
  if (error.name === 'NotFoundError') return 'No microphone was found.'
  return `The microphone cannot be used: ${error.message}`
}

/** @param {string} name - of the file */
export const unreadable = (name) => `${name}: the browser cannot read it as sound.`

/** @param {number} seconds */
export const latencyOf = (seconds) => `${seconds.toFixed(2)} s (${Math.round(seconds * 25)} frames)`

/**
 * @param {string} address - that speaks in the session
 * @param {number} rate - of the session's sound, Hz
 */
export const sayingCommand = (address, rate) =>
  `ffmpeg -i speech.mp3 -f s16le -ac 1 -ar ${rate} - |\n  curl -X POST -T - ${address}`
