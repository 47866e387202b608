/**
 * Takes pieces of sound to the server, in order: a request carries all that came during the one
 * before it. So it keeps up with any delay, and passes every proxy.
 */

import { HEAR, sessionPath } from './live_messages.js'
import { RATE_HZ } from './microphone.js'

/** Samples that may wait. What is later than that is of no use to anybody. */
const MAX_WAITING = 2 * RATE_HZ

export class Feed {
  /**
   * @param {(path: string) => string} urlOf - from a path below the server's root
   * @param {string} session
   * @param {() => void} onLost - the session is over, or hears no microphone
   */
  constructor(urlOf, session, onLost) {
    this.url = urlOf(`${sessionPath(session, HEAR)}?rate=${RATE_HZ}`)
    this.onLost = onLost
    /** @type {Int16Array<ArrayBuffer>[]} */
    this.waiting = []
    this.isSending = false
    this.isClosed = false
  }

  /** @param {Int16Array<ArrayBuffer>} piece */
  push(piece) {
    this.waiting.push(piece)
    while (count(this.waiting) > MAX_WAITING) this.waiting.shift()
    if (!this.isSending) void this.send()
  }

  async send() {
    this.isSending = true
    while (this.waiting.length && !this.isClosed) {
      const body = new Blob(this.waiting.splice(0))
      const answer = await fetch(this.url, { method: 'POST', body }).catch(() => null)
      // A server that does not answer may come back; one that refuses will do so again.
      if (answer && !answer.ok && !this.isClosed) {
        this.close()
        this.onLost()
      }
    }
    this.isSending = false
  }

  close() {
    this.isClosed = true
    this.waiting = []
  }
}

/** @param {Int16Array[]} pieces */
function count(pieces) {
  return pieces.reduce((sum, piece) => sum + piece.length, 0)
}
