/** From speech after silence to its first picture on the screen, in the page's own clock. */

const FRAME_RATE_HZ = 25
/** A picture that never comes (interrupted, or the tab was hidden) is not waited for longer. */
const GIVE_UP_MS = 10_000

export class Latency {
  /**
   * @param {HTMLVideoElement} video
   * @param {(ms: number) => void} onMeasured
   */
  constructor(video, onMeasured) {
    this.video = video
    this.onMeasured = onMeasured
    /** Frame of the session that the video begins with; null until the server tells. */
    /** @type {number | null} */
    this.firstFrame = null
    /** @type {number | null} */
    this.saidMs = null
    /** @type {number | null} */
    this.frame = null
    this.watch()
  }

  /** Speech goes out, first heard at a time of performance.now(). @param {number} atMs */
  said(atMs) {
    if (this.saidMs !== null && atMs - this.saidMs < GIVE_UP_MS) return
    this.saidMs = atMs
    this.frame = null
  }

  /** The first frame of what was said has left the server. @param {number} frame */
  speaking(frame) {
    if (this.saidMs !== null) this.frame ??= frame
  }

  /** What was said will not be shown. */
  forget() {
    this.saidMs = this.frame = null
  }

  watch() {
    if (!this.video.requestVideoFrameCallback) return
    this.video.requestVideoFrameCallback((_, shown) => {
      this.look(shown)
      this.watch()
    })
  }

  /** @param {VideoFrameCallbackMetadata} shown */
  look({ mediaTime, expectedDisplayTime }) {
    if (this.saidMs === null || this.frame === null || this.firstFrame === null) return
    if (Math.round(mediaTime * FRAME_RATE_HZ) + this.firstFrame < this.frame) return
    const ms = expectedDisplayTime - this.saidMs
    this.forget()
    if (ms > 0 && ms < GIVE_UP_MS) this.onMeasured(ms)
  }
}
