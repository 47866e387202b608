/** The preview on a node: video, buttons, a line of text and notes. */

import { Asking } from './asking.js'
import { Controls } from './controls.js'
import { element, write } from './elements.js'
import { FAILED, INTERRUPTED, LIVE, filePath, streamPath } from './messages.js'
import { Player } from './player.js'
import { RESTARTED, otherLines, statusKind, statusLine } from './status.js'
import { speakIn } from './words.js'

const REFRESH_MS = 250

/** @typedef {import('./messages.js').FileMessage} FileMessage */
/** @typedef {import('./messages.js').StreamMessage} StreamMessage */
/** @typedef {import('./runs.js').Activity} Activity */
/**
 * @typedef {object} ViewOptions
 * @property {(hasPlayer: boolean) => void} [onPlayer] - whether images of others are needed
 * @property {(message: StreamMessage) => void} [onMissed] - gets a message that had to be asked for
 * @property {import('./words.js').Say} [say]
 * @property {() => boolean} [loops] - whether a finished video starts again
 * @property {import('./pacing.js').Pacing} [pacing] - of streams
 */

export class PreviewView {
  /**
   * @param {(path: string) => string} urlOf - from a path below the server's root
   * @param {ViewOptions} options
   */
  constructor(urlOf, options = {}) {
    this.urlOf = urlOf
    this.onPlayer = options.onPlayer ?? (() => {})
    this.onMissed = options.onMissed ?? ((message) => this.show(message))
    this.say = options.say ?? speakIn(() => 'en')
    this.loops = options.loops ?? (() => true)
    /** @type {StreamMessage | null} */
    this.message = null
    this.shownMs = 0
    /** @type {Activity | null} */
    this.activity = null
    /** @type {FileMessage[]} */
    this.takes = []
    this.take = 0
    this.session = ''
    this.file = ''
    /** @type {FileMessage | null} */
    this.shownFile = null
    this.timer = 0
    this.root = element('div', 'flashtalk-preview')
    this.video = element('video', 'flashtalk-video')
    this.video.muted = true // else it may not start by itself
    this.video.playsInline = true
    this.player = new Player(this.video, () => this.refresh(), options.pacing)
    this.asking = new Asking(urlOf, (session, message) => this.answered(session, message))
    this.status = element('div', 'flashtalk-status')
    this.status.setAttribute('role', 'status')
    this.notes = element('div', 'flashtalk-notes')
    this.notes.addEventListener('click', () => this.notes.classList.toggle('flashtalk-open'))
    this.controls = new Controls({
      play: () => this.player.togglePlay(),
      sound: () => this.toggleSound(),
      follow: () => this.player.toggleFollow(),
      full: () => this.toggleFullScreen(),
      take: (steps) => this.showTake(this.take + steps),
    })
    this.stage = element('div', 'flashtalk-stage')
    this.stage.append(this.video, this.controls.root)
    const foot = element('div', 'flashtalk-foot')
    foot.append(this.status, this.notes)
    this.root.append(this.stage, foot)
    this.video.addEventListener('volumechange', () => this.refresh())
    this.refresh()
  }

  /**
   * Show the content of a message.
   * @param {StreamMessage} message
   * @param {FileMessage[]} takes - finished videos of the node, the oldest first
   */
  show(message, takes = this.takes) {
    this.message = message
    this.shownMs = Date.now()
    this.activity = null
    const isTaken = takes.some((take) => message.file && filePath(take) === filePath(message.file))
    this.takes = message.file && !isTaken ? [...takes, message.file] : takes
    this.take = Math.max(0, this.takes.length - 1)
    this.asking.rest()
    this.start()
    if (message.state === LIVE && message.session) {
      // A stream that broke off is tried again when the next chunk says that it still runs.
      if (message.session !== this.session || this.player.isLost) this.showLive(message.session)
    } else if (message.file) this.showFile(message.file, message.session)
    else if (message.state !== LIVE && this.video.readyState < 2) this.player.stop() // nothing to see
    this.refresh()
  }

  /**
   * Say what becomes of a run before the node's own messages; null: it came to its end without any.
   * @param {Activity | null} activity
   */
  follow(activity) {
    const now = this.activity?.state
    const isPending = now === 'queued' || now === 'preparing'
    // A run in progress says more than one that waits, and the node's own messages say most.
    const isBusy = now === 'preparing' || this.message?.state === LIVE
    const isNews = { queued: !isBusy, preparing: true, stopped: isPending, failed: isPending }
    if (activity ? !isNews[activity.state] : !isPending) return
    this.activity = activity
    // A list of several parts is read at once; there is no video that it could cover.
    const isList = otherLines(activity?.reason ?? '').length > 0
    this.notes.classList.toggle('flashtalk-open', isList)
    this.start()
    this.refresh()
  }

  /** Say again what was said on a view of the same node. @param {Activity | null} activity */
  recall(activity) {
    this.activity = activity ?? this.activity
    this.refresh()
  }

  /** Look at the player from now on: a copy of a node in the clipboard has a view, too. */
  start() {
    this.timer ||= window.setInterval(() => this.refresh(), REFRESH_MS)
  }

  /** @param {string} session */
  showLive(session) {
    this.session = session
    this.file = ''
    this.shownFile = null
    this.player.showLive((fromS) => this.urlOf(streamPath(session, fromS)))
  }

  /**
   * @param {FileMessage} file
   * @param {string | null} session - it came from, if it did
   */
  showFile(file, session) {
    const path = filePath(file)
    if (path === this.file && this.player.mode === 'file') return
    this.file = path
    this.shownFile = file
    this.session = session ?? ''
    // A name is used again once its file is deleted; what is shown must not come from a cache.
    this.player.showFile(this.urlOf(`${path}&v=${Date.now()}`))
  }

  /** @param {FileMessage} file */
  has(file) {
    return this.message !== null && filePath(file) === this.file
  }

  /** @param {number} number - of a finished video, from 0 */
  showTake(number) {
    const file = this.takes[number]
    if (!file) return
    this.take = number
    this.showFile(file, null)
    this.refresh()
  }

  /**
   * @param {string} session
   * @param {StreamMessage | null} message - null: the server was restarted
   */
  answered(session, message) {
    const { message: last } = this
    if (session !== last?.session || last.state !== LIVE) return
    if (message) this.onMissed(message)
    else this.onMissed({ ...last, state: RESTARTED, file: last.partial ?? null })
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
    const { player, message, activity, say } = this
    if (message?.state === LIVE && message.session) void this.asking.ask(message.session)
    this.onPlayer(player.mode !== 'images')
    this.video.loop = player.mode === 'file' && this.loops()
    write(this.status, this.line())
    const reason = activity ? (activity.reason ?? '') : (message?.reason ?? '')
    this.status.title = reason
    const lines = activity ? reason.split('\n') : []
    const notes = lines.length > 1 ? lines.map(say.server) : (message?.notes ?? []).map(say.server)
    write(this.notes, notes.join('\n'))
    this.notes.title = notes.join('\n')
    this.root.dataset.kind = statusKind(message, activity)
    this.root.dataset.mode = player.mode
    const hasEnded = player.isOver && (message?.state === INTERRUPTED || message?.state === FAILED)
    const { video, take } = this
    this.controls.refresh({ player, video, hasEnded, take, numTakes: this.takes.length }, say)
  }

  line() {
    const { takes, take, say } = this
    if (!this.activity && take < takes.length - 1)
      return say('shownTake', { number: take + 1, count: takes.length, file: takes[take].filename })
    return statusLine(this.message, this.activity, this.player, say)
  }

  close() {
    clearInterval(this.timer)
    this.timer = 0
    this.player.close()
    this.root.remove()
  }
}
