/** Asks the server about a stream whose messages may be missed: by a closed tab, or a broken socket. */

import { messagePath } from './messages.js'

/** How long no message comes before the server is asked, and how long until it is asked again. */
const ASK_MS = 3000

/** @typedef {import('./messages.js').StreamMessage} StreamMessage */

export class Asking {
  /**
   * @param {(path: string) => string} urlOf - from a path below the server's root
   * @param {(session: string, message: StreamMessage | null) => void} onAnswer - null: unknown there
   */
  constructor(urlOf, onAnswer) {
    this.urlOf = urlOf
    this.onAnswer = onAnswer
    this.nextMs = 0
  }

  /** A message came by itself. */
  rest() {
    this.nextMs = performance.now() + ASK_MS
  }

  /** Ask at the next occasion. */
  hurry() {
    this.nextMs = 0
  }

  /** @param {string} session */
  async ask(session) {
    if (performance.now() < this.nextMs) return
    this.nextMs = Infinity // one question at a time
    const url = this.urlOf(messagePath(session))
    const answer = await fetch(url, { cache: 'no-store' }).catch(() => null)
    const message = answer?.ok ? await answer.json().catch(() => null) : null
    this.rest()
    if (message) this.onAnswer(session, message)
    // A server that does not answer may come back; one that answers so was restarted.
    else if (answer?.status === 404) this.onAnswer(session, null)
  }
}
