/** A live stream in a video element by Media Source Extensions. */

import { AppendQueue } from './append_queue.js'
import { ByteStream } from './byte_stream.js'
import { headSize, mimeType } from './mp4.js'
import { RENDER, decide, listRanges } from './pacing.js'

const OPEN_MS = 2000
const TICK_MS = 200
/** Bytes that may wait for the browser before loading stops until it has taken them. */
const MAX_WAITING = 16 * 2 ** 20
/** Seconds ahead that are loaded whatever a managed source asks: it must have something to play. */
const MIN_AHEAD_S = 3

/** Safari's own kind is the only one on an iPhone. @returns {typeof MediaSource | undefined} */
function mediaSourceClass() {
  const scope = /** @type {any} */ (globalThis)
  return scope.ManagedMediaSource ?? scope.MediaSource
}

/**
 * @typedef {object} LiveHooks
 * @property {(key: string, values?: Record<string, string>) => void} onUnable - this browser or
 *   page cannot do it; what words.js says of it
 * @property {(why: 'over' | 'gone' | 'lost') => void} onEnd - nothing more comes
 */

export class MediaSourcePlayer {
  /**
   * @param {HTMLVideoElement} video
   * @param {(fromS: number | null) => string} urlFrom
   * @param {LiveHooks} hooks
   * @param {import('./pacing.js').Pacing} pacing
   */
  constructor(video, urlFrom, hooks, pacing = RENDER) {
    this.video = video
    this.hooks = hooks
    this.pacing = pacing
    this.isWaiting = true
    this.hasMoved = false
    this.isFollowing = pacing.follows
    this.isFast = false
    this.wantsPlay = true
    this.isOver = false
    this.ahead = 0
    this.isClosed = false
    /** @type {AppendQueue | null} */
    this.queue = null
    this.early = new Uint8Array(0)
    this.unable = this.unable.bind(this)
    this.tick = this.tick.bind(this)
    const Source = mediaSourceClass()
    if (!Source) {
      queueMicrotask(() => this.unable('noMediaSource'))
      return
    }
    this.source = new Source()
    this.url = URL.createObjectURL(this.source)
    video.disableRemotePlayback = true
    video.addEventListener('error', this.onVideoError = () => this.unable('blobForbidden'))
    const late = setTimeout(() => this.unable('sourceClosed'), OPEN_MS)
    this.source.addEventListener('sourceopen', () => {
      clearTimeout(late)
      this.load(urlFrom)
    }, { once: true })
    // A managed source signals when it wants data; others have no such events.
    this.source.addEventListener('startstreaming', this.tick)
    this.source.addEventListener('endstreaming', this.tick)
    // A video that stands still is paused at once, not at the next tick, so that it stands long enough.
    video.addEventListener('waiting', this.tick)
    video.src = this.url
    this.timer = setInterval(this.tick, TICK_MS)
  }

  /** @param {(fromS: number | null) => string} urlFrom */
  load(urlFrom) {
    if (this.isClosed) return
    this.stream = new ByteStream(urlFrom, {
      onStart: () => {
        this.queue?.reset()
        this.early = new Uint8Array(0)
      },
      onBytes: (bytes) => this.take(bytes),
      resumeAt: () => this.resumeAt(),
      onEnd: (why) => this.finish(why),
    })
  }

  resumeAt() {
    if (this.pacing.follows) return null
    const ranges = listRanges(this.video.buffered)
    // A page that sees the start gets it all; one that comes late begins with the newest.
    return ranges.length ? /** @type {[number, number]} */ (ranges.at(-1))[1] : null
  }

  /** @param {Uint8Array<ArrayBuffer>} bytes */
  take(bytes) {
    if (this.queue) {
      this.queue.push(bytes)
      return
    }
    const all = new Uint8Array(this.early.length + bytes.length)
    all.set(this.early)
    all.set(bytes, this.early.length)
    this.early = all
    const size = headSize(all)
    if (!size || !this.source) return
    const type = mimeType(all.subarray(0, size))
    if (!mediaSourceClass()?.isTypeSupported(type)) {
      this.unable('codecUnknown', { type })
      return
    }
    try {
      const buffer = this.source.addSourceBuffer(type)
      buffer.addEventListener('updateend', this.tick)
      const time = () => this.video.currentTime
      this.queue = new AppendQueue(buffer, time, (error) => this.unable(error.message))
      this.queue.push(all)
    } catch (error) {
      this.unable(String(error))
    }
  }

  /** Go to the newest frame. */
  follow() {
    this.isFollowing = true
    if (this.stream?.isHeld) this.stream.restart() // the newest lies beyond what was loaded
    this.tick()
  }

  tick() {
    if (this.isClosed) return
    const { video } = this
    const step = decide({
      time: video.currentTime,
      ranges: listRanges(video.buffered),
      isOver: this.isOver && (this.queue?.isEmpty ?? true),
      isWaiting: this.isWaiting,
      hasMoved: this.hasMoved,
      isFollowing: this.isFollowing,
      isHeld: this.stream?.isHeld ?? false,
      isFast: this.isFast,
    }, this.pacing)
    if (step.seek !== null && !video.seeking) video.currentTime = step.seek
    if (step.isFast !== this.isFast) this.setFast(step.isFast)
    this.ahead = step.ahead
    this.isWaiting = step.isWaiting
    this.hasMoved ||= !step.isWaiting
    this.stream?.hold(step.isHeld || this.isFed() || this.isBackedUp())
    const shouldPlay = this.wantsPlay && !this.isWaiting
    if (shouldPlay && video.paused && !video.ended) video.play().catch(() => {})
    else if (!shouldPlay && !video.paused) video.pause()
    this.queue?.pump()
    this.endWhenEmpty()
  }

  /** @param {boolean} isFast */
  setFast(isFast) {
    this.isFast = isFast
    this.video.playbackRate = isFast ? (this.pacing.catchUp?.rate ?? 1) : 1
  }

  /** Whether a managed source signals that it has enough. It also does before it wants anything. */
  isFed() {
    const { streaming } = /** @type {any} */ (this.source)
    return streaming === false && this.ahead > MIN_AHEAD_S
  }

  /** Whether the browser takes less than comes: its quota is full of what is still to be seen. */
  isBackedUp() {
    return (this.queue?.numWaiting ?? 0) > (this.stream?.isHeld ? 0 : MAX_WAITING)
  }

  /** @param {'over' | 'gone' | 'lost'} why */
  finish(why) {
    this.isOver = true
    this.tick()
    this.hooks.onEnd(why)
  }

  endWhenEmpty() {
    if (this.isOver && this.queue?.isEmpty && this.source?.readyState === 'open')
      this.source.endOfStream()
  }

  /**
   * @param {string} key
   * @param {Record<string, string>} [values]
   */
  unable(key, values) {
    if (this.isClosed) return
    this.close()
    this.hooks.onUnable(key, values)
  }

  close() {
    this.isClosed = true
    clearInterval(this.timer)
    if (this.isFast) this.setFast(false)
    this.stream?.close()
    this.queue?.close()
    this.video.removeEventListener('waiting', this.tick)
    if (this.onVideoError) this.video.removeEventListener('error', this.onVideoError)
    if (this.url) URL.revokeObjectURL(this.url)
  }
}
