/** The connection to a session: begins it, and comes back to it after a break. */

/** How long a server waits for a client whose connection broke. */
const RECONNECT_MS = 30_000
const RETRY_MS = [250, 500, 1000, 2000]
/** A ping that has no answer when the next is due: nothing else says that a network is gone. */
const PING_MS = 5000
/** How the server ends a connection after another client came to the session. */
const POLICY = 1008

/**
 * What the server says; docs/LIVE_PROTOCOL.md has the fields.
 * @typedef {{ type: string } & Record<string, any>} Message
 */
/**
 * @typedef {object} ConnectionHooks
 * @property {(message: Message) => void} onMessage - `ready` also after each break
 * @property {() => void} onBreak - the connection is gone, and tried again
 * @property {(reason: string, message: string) => void} onEnd - the session is over, or was refused
 */

export class Connection {
  /**
   * @param {Record<string, unknown>} start - fields of the first message
   * @param {ConnectionHooks} hooks
   */
  constructor(start, hooks) {
    this.start = start
    this.hooks = hooks
    this.session = ''
    this.isReady = false
    this.isOver = false
    this.hasPinged = false
    this.tries = 0
    this.retry = 0
    /** @type {number | null} */
    this.brokenMs = null
    /** @type {Message | null} */
    this.error = null
    this.timer = window.setInterval(() => this.ping(), PING_MS)
    this.open()
  }

  open() {
    const { token } = this.start
    const first = this.session ? { session: this.session, token } : this.start
    this.error = null
    const address = new URL('live', document.baseURI)
    address.protocol = address.protocol.replace('http', 'ws')
    const socket = (this.socket = new WebSocket(address))
    socket.addEventListener('open', () => socket.send(JSON.stringify({ type: 'start', ...first })))
    socket.addEventListener('message', ({ data }) => {
      if (socket === this.socket && !this.isOver) this.take(JSON.parse(data))
    })
    socket.addEventListener('close', ({ code, reason }) => {
      if (socket !== this.socket || this.isOver) return
      if (this.isReady && code === POLICY) this.end('replaced', reason)
      else this.broke()
    })
  }

  /** @param {Message} message */
  take(message) {
    if (message.type === 'error') this.error = message
    if (message.type === 'pong') this.hasPinged = false
    if (message.type === 'ready') {
      this.session = message.session
      this.isReady = true
      this.tries = 0
      this.brokenMs = null
    }
    if (message.type === 'closed') this.end(message.reason, this.error?.message ?? '')
    // A refusal is told when the server closes the connection.
    else if (this.isReady) this.hooks.onMessage(message)
  }

  broke() {
    this.isReady = this.hasPinged = false
    if (!this.session) {
      this.end(this.error?.code ?? 'unreachable', this.error?.message ?? '')
      return
    }
    const hasAnswered = this.brokenMs !== null && this.error !== null
    this.brokenMs ??= performance.now()
    if (hasAnswered || performance.now() - this.brokenMs > RECONNECT_MS) {
      this.end('gone', '')
      return
    }
    this.hooks.onBreak()
    const waitMs = RETRY_MS[Math.min(this.tries++, RETRY_MS.length - 1)]
    this.retry = window.setTimeout(() => this.open(), waitMs)
  }

  ping() {
    if (!this.isReady) return
    if (this.hasPinged) {
      const { socket } = this
      this.socket = undefined // its end may take long
      socket?.close()
      this.broke()
      return
    }
    this.hasPinged = true
    this.send({ type: 'ping' })
  }

  /** @param {Record<string, unknown>} message */
  send(message) {
    if (this.isReady) this.socket?.send(JSON.stringify(message))
  }

  /** @param {Int16Array<ArrayBuffer>} pcm */
  sendSound(pcm) {
    if (this.isReady) this.socket?.send(pcm)
  }

  /**
   * @param {string} reason
   * @param {string} message
   */
  end(reason, message) {
    if (this.isOver) return
    this.isOver = true
    this.isReady = false
    clearTimeout(this.retry)
    clearInterval(this.timer)
    this.socket?.close()
    this.hooks.onEnd(reason, message)
  }

  /** End the session; the server forgets it. */
  close() {
    this.send({ type: 'close' })
    this.end('closed', '')
  }
}
