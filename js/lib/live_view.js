/** A live session on its node: the video, the microphone, what it does, and its end. */

import { Feed } from './live_feed.js'
import { CLEAR, END, STREAM, sessionPath } from './live_messages.js'
import { liveStatusLine } from './live_status.js'
import { LiveStrip } from './live_strip.js'
import { FROM, LIVE } from './messages.js'
import { Microphone, whyFailed, whyNone } from './microphone.js'
import { LIVE as LIVE_PACING } from './pacing.js'
import { peakOf, toPcm } from './pcm.js'
import { RESTARTED } from './status.js'
import { PreviewView } from './view.js'

/** How fast the level falls, a refresh. */
const FALL = 0.6
/** How long a video that is over is left so: at the end of a session that is told soon after. */
const REVIVE_MS = 1000

/** @typedef {import('./live_messages.js').LiveMessage} LiveMessage */

export class LiveView extends PreviewView {
  /**
   * @param {(path: string) => string} urlOf
   * @param {import('./view.js').ViewOptions} options
   */
  constructor(urlOf, options = {}) {
    super(urlOf, { ...options, pacing: LIVE_PACING })
    /** @type {Microphone | null} */
    this.microphone = null
    /** @type {Feed | null} */
    this.feed = null
    this.peak = 0
    this.isEnding = false
    this.why = ''
    /** @type {number | null} when the video was first seen to be over, while the session goes on */
    this.overMs = null
    this.strip = new LiveStrip(urlOf, {
      microphone: () => this.toggleMicrophone(),
      interrupt: () => void this.post(CLEAR),
      end: () => {
        this.isEnding = true
        void this.post(END)
        this.refresh()
      },
    })
    this.stage.after(this.strip.root)
    this.refresh()
  }

  /** The message of a session that listens, or null. @returns {LiveMessage | null} */
  get listening() {
    const message = /** @type {LiveMessage | null} */ (/** @type {unknown} */ (this.message))
    return message?.state === LIVE && message.session && !this.activity ? message : null
  }

  /**
   * @param {import('./messages.js').StreamMessage} message
   * @param {import('./messages.js').FileMessage[]} [takes]
   */
  show(message, takes) {
    super.show(message, takes)
    this.revive()
  }

  /** Watch again where the server ended the video, not the session: its encoder fell behind. */
  revive() {
    const { listening, player } = this
    if (!listening?.session || !player.isOver) {
      this.overMs = null
      return
    }
    this.overMs ??= performance.now()
    if (performance.now() - this.overMs >= REVIVE_MS) this.showLive(listening.session)
  }

  /** @param {string} session */
  showLive(session) {
    if (session !== this.session) this.closeMicrophone()
    this.why = whyNone()
    this.isEnding = false
    this.session = session
    this.file = ''
    this.shownFile = null
    this.player.showLive((fromS) => {
      const query = fromS === null ? '' : `?${FROM}=${Math.max(0, Math.round(fromS * 1000))}`
      return this.urlOf(sessionPath(session, STREAM) + query)
    })
  }

  /** @param {string} verb */
  post(verb) {
    const url = this.urlOf(sessionPath(this.session, verb))
    return fetch(url, { method: 'POST' }).catch(() => null)
  }

  toggleMicrophone() {
    if (this.microphone) this.closeMicrophone()
    else void this.openMicrophone()
    this.refresh()
  }

  async openMicrophone() {
    this.why = whyNone()
    if (this.why) return
    const { session } = this
    const feed = (this.feed = new Feed(this.urlOf, session, () => this.closeMicrophone()))
    const microphone = (this.microphone = new Microphone((block) => {
      this.peak = Math.max(this.peak, peakOf(block))
      feed.push(toPcm(block))
    }, () => this.fail('micGone')))
    try {
      await microphone.open()
    } catch (error) {
      if (this.microphone === microphone) this.fail(whyFailed(error))
    }
  }

  /** @param {string} why */
  fail(why) {
    this.closeMicrophone()
    this.why = why
    this.refresh()
  }

  closeMicrophone() {
    this.microphone?.close()
    this.feed?.close()
    this.microphone = this.feed = null
    this.peak = 0
  }

  refresh() {
    super.refresh()
    if (!this.strip) return // not made yet
    const { listening, peak, isEnding } = this
    if (!listening && this.microphone) this.closeMicrophone()
    this.strip.refresh(listening, { isOn: this.microphone !== null, peak, isEnding }, this.say)
    this.peak *= FALL
  }

  line() {
    const message = /** @type {any} */ (this.message)
    const isOld = this.take < this.takes.length - 1
    if (!message && !this.activity) return this.say('liveIdle')
    if (this.activity || isOld || message.state === RESTARTED || !message.source) return super.line()
    const why = this.why && this.say(this.why, { address: localAddress() })
    return liveStatusLine(message, why, this.say)
  }

  close() {
    this.closeMicrophone()
    super.close()
  }
}

/** Where a browser on the server's own machine gets a microphone without https. */
function localAddress() {
  return `http://127.0.0.1${location.port ? `:${location.port}` : ''}`
}
