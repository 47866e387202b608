/** One video element through a render: live with the best player the browser has, then the file. */

import { MediaSourcePlayer } from './media_source.js'
import { RENDER } from './pacing.js'
import { PlainPlayer } from './plain_source.js'

/** Players of a stream, the best one first. */
const PLAYERS = [MediaSourcePlayer, PlainPlayer]
const NO_REASON = { key: '' }

/** @typedef {{ key: string, values?: Record<string, string> }} Why - as words.js says it */
/**
 * @typedef {'idle' | 'live' | 'file' | 'images'} Mode
 * `images`: this browser plays neither; ComfyUI's own preview images are all there is.
 */

export class Player {
  /**
   * @param {HTMLVideoElement} video
   * @param {() => void} onChange
   * @param {import('./pacing.js').Pacing} pacing - of streams
   */
  constructor(video, onChange, pacing = RENDER) {
    this.video = video
    this.onChange = onChange
    this.pacing = pacing
    /** @type {Mode} */
    this.mode = 'idle'
    /** @type {MediaSourcePlayer | PlainPlayer | null} */
    this.live = null
    this.isOver = false
    this.isLost = false
    /** @type {Why} */
    this.why = NO_REASON
    this.drift = 0
    this.frameCallback = 0
    this.watchDrift()
  }

  get isWaiting() {
    return this.live?.isWaiting ?? false
  }

  get hasMoved() {
    return this.live?.hasMoved ?? false
  }

  get ahead() {
    return this.live?.ahead ?? 0
  }

  get isPaused() {
    return this.live ? !this.live.wantsPlay : this.video.paused
  }

  /**
   * Show a stream.
   * @param {(fromS: number | null) => string} urlFrom
   */
  showLive(urlFrom) {
    this.stop()
    this.video.removeAttribute('poster')
    this.video.controls = false
    this.tryPlayer(urlFrom, 0)
  }

  /**
   * @param {(fromS: number | null) => string} urlFrom
   * @param {number} index
   */
  tryPlayer(urlFrom, index) {
    const Player = PLAYERS[index]
    this.mode = Player ? 'live' : 'images'
    this.live = Player
      ? new Player(this.video, urlFrom, {
          onUnable: (key, values) => {
            this.why = { key, values }
            this.clear()
            this.tryPlayer(urlFrom, index + 1)
          },
          onEnd: (why) => {
            this.isOver = true
            this.isLost = why !== 'over'
            this.onChange()
          },
        }, this.pacing)
      : null
    this.onChange()
  }

  /**
   * Show a finished file from the place the live video has come to.
   * @param {string} url
   */
  showFile(url) {
    const { video } = this
    const wasLive = this.mode === 'live' && video.readyState >= 2
    const isPaused = this.mode !== 'idle' && this.isPaused // by the user
    const time = video.currentTime
    const still = wasLive ? snapshot(video) : ''
    this.stop()
    this.mode = 'file'
    if (still) video.poster = still // no black frame while the file loads
    video.controls = true
    video.addEventListener('loadedmetadata', () => {
      if (wasLive) video.currentTime = Math.min(time, video.duration)
      if (!isPaused) video.play().catch(() => {})
    }, { once: true, signal: (this.loading = new AbortController()).signal })
    video.addEventListener('error', () => this.fileFailed(url), {
      once: true, signal: this.loading.signal,
    })
    video.src = url
    this.onChange()
  }

  /** @param {string} url */
  async fileFailed(url) {
    const answer = await fetch(url, { method: 'HEAD' }).catch(() => null)
    if (this.mode !== 'file') return
    this.why = { key: answer?.status === 404 ? 'fileGone' : 'fileUnplayable' }
    this.mode = 'idle'
    this.video.controls = false
    this.onChange()
  }

  togglePlay() {
    if (!this.live) {
      if (this.video.paused) this.video.play().catch(() => {})
      else this.video.pause()
      return
    }
    this.live.wantsPlay = !this.live.wantsPlay
    if (!this.live.wantsPlay && 'isFollowing' in this.live) this.live.isFollowing = false
    this.live.tick()
    this.onChange()
  }

  get isFollowing() {
    return this.live instanceof MediaSourcePlayer && this.live.isFollowing
  }

  /** Go to the newest frame and stay there, or stop doing so. */
  toggleFollow() {
    if (this.isFollowing && this.live instanceof MediaSourcePlayer) this.live.isFollowing = false
    else if (this.live) {
      this.live.wantsPlay = true
      // A plain source is loaded again: no black frame meanwhile.
      if (this.live instanceof PlainPlayer && this.video.videoWidth)
        this.video.poster = snapshot(this.video)
      this.live.follow()
    }
    this.onChange()
  }

  /** Measure how far the video is from the clock that the audio follows. */
  watchDrift() {
    const { video } = this
    if (!video.requestVideoFrameCallback) return
    this.frameCallback = video.requestVideoFrameCallback((_, frame) => {
      // A frame is right from its time until the next one's; its middle counts.
      const drift = video.currentTime - frame.mediaTime - 0.02
      if (!video.seeking && Math.abs(drift) < 5) this.drift += (drift - this.drift) / 10
      this.watchDrift()
    })
  }

  /** Leave the element empty. */
  clear() {
    this.video.removeAttribute('src')
    this.video.load()
  }

  stop() {
    this.video.loop = false // a stream has an end that the file comes after
    this.loading?.abort()
    this.live?.close()
    this.live = null
    this.isOver = this.isLost = false
    this.why = NO_REASON
    this.mode = 'idle'
    this.clear()
  }

  close() {
    this.stop()
    if (this.frameCallback) this.video.cancelVideoFrameCallback(this.frameCallback)
  }
}

/** @param {HTMLVideoElement} video */
function snapshot(video) {
  const canvas = document.createElement('canvas')
  canvas.width = video.videoWidth
  canvas.height = video.videoHeight
  canvas.getContext('2d')?.drawImage(video, 0, 0)
  return canvas.toDataURL('image/jpeg', 0.8)
}
