/** The bytes of a stream over HTTP: reconnects after a break; can be held and resumed. */

const RETRY_MS = [250, 500, 1000, 2000, 4000]

/**
 * @typedef {object} StreamHooks
 * @property {(bytes: Uint8Array<ArrayBuffer>) => void} onBytes
 * @property {() => void} onStart - before the first bytes of each connection
 * @property {() => number | null} resumeAt - where to go on, seconds; null is the newest
 * @property {(why: 'over' | 'gone' | 'lost') => void} onEnd
 */

export class ByteStream {
  /**
   * @param {(fromS: number | null) => string} urlFrom
   * @param {StreamHooks} hooks
   */
  constructor(urlFrom, hooks) {
    this.urlFrom = urlFrom
    this.hooks = hooks
    this.isHeld = false
    this.isClosed = false
    this.tries = 0
    /** @type {AbortController | null} */
    this.connection = null
    this.retry = 0
    this.connect()
  }

  /** @param {boolean} isHeld - stop loading, or go on where it stopped */
  hold(isHeld) {
    if (isHeld === this.isHeld || this.isClosed) return
    this.isHeld = isHeld
    clearTimeout(this.retry)
    if (isHeld) this.connection?.abort()
    else this.connect()
  }

  /** Go on with the newest. */
  restart() {
    this.connection?.abort()
    this.isHeld = false
    clearTimeout(this.retry)
    if (!this.isClosed) this.connect(null)
  }

  close() {
    this.isClosed = true
    clearTimeout(this.retry)
    this.connection?.abort()
  }

  /** @param {number | null} fromS - where to start, seconds; null is the newest */
  async connect(fromS = this.hooks.resumeAt()) {
    const connection = (this.connection = new AbortController())
    const { signal } = connection
    try {
      const options = { signal, cache: /** @type {const} */ ('no-store') }
      const answer = await fetch(this.urlFrom(fromS), options)
      if (answer.status === 404) return this.end('gone')
      if (!answer.ok || !answer.body) throw new Error(`answered ${answer.status}`)
      this.hooks.onStart()
      const reader = answer.body.getReader()
      for (;;) {
        const { done, value } = await reader.read()
        if (signal.aborted) return
        if (done) return this.end('over')
        this.tries = 0
        this.hooks.onBytes(value)
      }
    } catch {
      if (!signal.aborted && !this.isClosed) this.comeBack()
    }
  }

  comeBack() {
    if (this.tries >= RETRY_MS.length) return this.end('lost')
    this.retry = window.setTimeout(() => this.connect(), RETRY_MS[this.tries++])
  }

  /** @param {'over' | 'gone' | 'lost'} why */
  end(why) {
    if (this.isClosed) return
    this.isClosed = true
    this.hooks.onEnd(why)
  }
}
