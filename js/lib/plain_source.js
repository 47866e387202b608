/** A live stream as a plain source: for pages that forbid media sources. Slower to start. */

const RETRY_MS = 1000
const MAX_TRIES = 3

export class PlainPlayer {
  /**
   * @param {HTMLVideoElement} video
   * @param {(fromS: number | null) => string} urlFrom
   * @param {import('./media_source.js').LiveHooks} hooks
   */
  constructor(video, urlFrom, hooks) {
    this.video = video
    this.urlFrom = urlFrom
    this.hooks = hooks
    this.wantsPlay = true
    this.isClosed = false
    this.isWaiting = true
    this.hasMoved = false
    this.tries = 0
    this.retry = 0
    this.listeners = /** @type {const} */ ({
      playing: () => this.playing(),
      waiting: () => (this.isWaiting = true),
      timeupdate: () => this.moved(),
      ended: () => this.hooks.onEnd('over'),
      error: () => this.failed(),
    })
    for (const [name, listener] of Object.entries(this.listeners))
      video.addEventListener(name, listener)
    this.load()
  }

  /** Seconds buffered ahead of the video. */
  get ahead() {
    const { buffered, currentTime } = this.video
    return buffered.length ? Math.max(0, buffered.end(buffered.length - 1) - currentTime) : 0
  }

  load() {
    this.video.src = this.urlFrom(null)
    if (this.wantsPlay) this.video.play().catch(() => {})
  }

  playing() {
    this.moved()
    this.tries = 0
  }

  moved() {
    this.isWaiting = false
    this.hasMoved = true
  }

  /** A source that never played is not understood; one that broke may come back. */
  async failed() {
    if (this.isClosed) return
    if (this.tries >= MAX_TRIES) {
      this.close()
      this.hooks.onUnable('plainFails')
      return
    }
    this.tries++
    const question = new AbortController()
    const isGone = await fetch(this.urlFrom(null), { signal: question.signal }).then(
      (answer) => answer.status === 404,
      () => false,
    )
    question.abort() // the answer's head said it all
    if (this.isClosed) return
    if (isGone) {
      this.close()
      this.hooks.onEnd('gone')
      return
    }
    this.retry = window.setTimeout(() => this.load(), RETRY_MS)
  }

  /** Go to the newest frame: a new connection starts there. One that waits is there already. */
  follow() {
    if (!this.isWaiting) this.load()
  }

  tick() {
    const { video } = this
    if (this.wantsPlay && video.paused && !video.ended) video.play().catch(() => {})
    else if (!this.wantsPlay && !video.paused) video.pause()
  }

  close() {
    this.isClosed = true
    clearTimeout(this.retry)
    for (const [name, listener] of Object.entries(this.listeners))
      this.video.removeEventListener(name, listener)
  }
}
