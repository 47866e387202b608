/** The preview on a node: picture, buttons and a line of text. */

import { FAILED, FINISHED, INTERRUPTED, LIVE, filePath, messagePath, streamPath } from './messages.js'
import { Player } from './player.js'
import { statusKind, statusLine } from './status.js'

const REFRESH_MS = 250
/** How often the server is asked how a run has ended whose stream is over. */
const ASK_MS = 3000

/** @typedef {import('./messages.js').StreamMessage} StreamMessage */

export class PreviewView {
  /**
   * @param {(path: string) => string} urlOf - from a path below the server's root
   * @param {(hasPlayer: boolean) => void} onPlayer - whether pictures of others are needed
   * @param {(message: StreamMessage) => void} onMissed - gets a message that had to be asked for
   */
  constructor(urlOf, onPlayer = () => {}, onMissed = (message) => this.show(message)) {
    this.urlOf = urlOf
    this.onPlayer = onPlayer
    this.onMissed = onMissed
    /** @type {StreamMessage | null} */
    this.message = null
    this.session = ''
    this.file = ''
    this.root = element('div', 'flashtalk-preview')
    this.video = element('video', 'flashtalk-video')
    this.video.muted = true // else it may not start by itself
    this.video.playsInline = true
    this.status = element('div', 'flashtalk-status')
    this.status.setAttribute('role', 'status')
    this.buttons = {
      play: this.button('Pause', () => this.player.togglePlay()),
      sound: this.button('', () => this.toggleSound()),
      follow: this.button('Live', () => this.player.toggleFollow()),
      full: this.button('Full screen', () => this.toggleFullScreen()),
    }
    this.buttons.sound.classList.add('flashtalk-sound')
    const bar = element('div', 'flashtalk-bar')
    bar.append(...Object.values(this.buttons))
    const stage = element('div', 'flashtalk-stage')
    stage.append(this.video, bar)
    this.root.append(stage, this.status)
    this.player = new Player(this.video, () => this.refresh())
    this.video.addEventListener('volumechange', () => this.refresh())
    this.timer = 0
    this.nextAskMs = 0
    this.refresh()
  }

  /**
   * @param {string} label
   * @param {() => void} onClick
   */
  button(label, onClick) {
    const button = element('button', 'flashtalk-button')
    button.type = 'button'
    button.textContent = label
    button.addEventListener('click', () => {
      onClick()
      this.refresh()
    })
    return button
  }

  /**
   * Show what a message tells.
   * @param {StreamMessage} message
   */
  show(message) {
    this.message = message
    // Only now: a copy of a node in the clipboard has a view, too, that nobody closes.
    this.timer ||= window.setInterval(() => this.refresh(), REFRESH_MS)
    if (message.state === LIVE && message.session) {
      // A stream that broke off is tried again when the next chunk says that it still runs.
      if (message.session !== this.session || this.player.isLost) this.showLive(message.session)
    } else if (message.file) this.showFile(message)
    else if (message.state !== LIVE && this.video.readyState < 2) this.player.stop() // nothing to see
    this.refresh()
  }

  /** @param {string} session */
  showLive(session) {
    this.session = session
    this.file = ''
    this.nextAskMs = 0
    this.player.showLive((fromS) => this.urlOf(streamPath(session, fromS)))
  }

  /** @param {StreamMessage} message */
  showFile({ file, frames, session }) {
    if (!file) return
    const path = filePath(file)
    if (path === this.file) return
    this.file = path
    this.session = session ?? ''
    // A name is used again once its file is deleted; what is shown must not come from a cache.
    this.player.showFile(this.urlOf(`${path}&v=${frames}-${Date.now()}`))
  }

  /**
   * Show the file of a run that was not told about: everything of it was cached.
   * @param {import('./messages.js').FileMessage} file
   * @param {string | null} workflow
   * @param {string} node - execution id
   * @returns {StreamMessage} what tells of it
   */
  showCached(file, workflow, node) {
    if (this.message && filePath(file) === this.file) return this.message
    const [frame_rate_hz, none] = [25, 0]
    const counts = { chunk: none, num_chunks: none, frames: none, num_frames: none }
    const rest = { ...counts, frame_rate_hz, frames_per_s: none, dropped: none, reason: null }
    const message = { ...rest, node, workflow, session: null, state: FINISHED, file }
    this.show(message)
    return message
  }

  /** Ask how the run has ended, in case its message was missed: by a reload, or a broken socket. */
  async askForEnd() {
    const { session } = this
    this.nextAskMs = performance.now() + ASK_MS
    const answer = await fetch(this.urlOf(messagePath(session)), { cache: 'no-store' }).catch(() => null)
    if (answer && !answer.ok) this.nextAskMs = Infinity // the server knows nothing of it
    if (!answer?.ok || session !== this.session || this.message?.state !== LIVE) return
    const message = await answer.json()
    if (message.state !== LIVE) this.onMissed(message)
  }

  toggleSound() {
    this.video.muted = !this.video.muted
  }

  toggleFullScreen() {
    const change = document.fullscreenElement
      ? document.exitFullscreen()
      : this.root.requestFullscreen?.()
    change?.catch(() => {}) // forbidden by the browser: nothing to be done
  }

  refresh() {
    const { player, buttons, message } = this
    const { mode } = player
    const hasVideo = mode === 'live' || mode === 'file'
    if (player.isOver && message?.state === LIVE) {
      // The message comes right after the stream; asking is for when it does not.
      this.nextAskMs ||= performance.now() + ASK_MS
      if (performance.now() > this.nextAskMs) void this.askForEnd()
    }
    this.onPlayer(mode !== 'pictures')
    const text = statusLine(message, player)
    if (this.status.textContent !== text) this.status.textContent = text
    this.root.dataset.kind = statusKind(message)
    this.root.dataset.mode = mode
    setLabel(buttons.play, player.isPaused ? 'Play' : 'Pause')
    setLabel(buttons.sound, this.video.muted ? 'Unmute' : 'Mute')
    buttons.sound.classList.toggle('flashtalk-muted', this.video.muted)
    buttons.follow.setAttribute('aria-pressed', String(player.isFollowing))
    buttons.play.hidden = mode !== 'live'
    buttons.follow.hidden = mode !== 'live'
    buttons.sound.hidden = !hasVideo
    buttons.full.hidden = mode !== 'live' // a file has the browser's own
    if (player.isOver && (message?.state === INTERRUPTED || message?.state === FAILED))
      buttons.follow.hidden = true
  }

  close() {
    clearInterval(this.timer)
    this.timer = 0
    this.player.close()
    this.root.remove()
  }
}

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} name
 * @param {string} kind
 */
function element(name, kind) {
  const made = document.createElement(name)
  made.className = kind
  return made
}

/**
 * @param {HTMLElement} button
 * @param {string} label
 */
function setLabel(button, label) {
  if (button.textContent !== label) button.textContent = label
}
