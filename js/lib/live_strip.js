/** Buttons of a live session below the video: microphone and its level, interrupt, end, the address. */

import { button, element, write } from './elements.js'
import { MICROPHONE, SPEECH, sessionPath } from './live_messages.js'

/** Quietest level that shows, decibels below full scale. */
const FLOOR_DB = -60
const COPIED_MS = 1500

/** @typedef {import('./live_messages.js').LiveMessage} LiveMessage */
/** @typedef {import('./words.js').Say} Say */
/**
 * @typedef {object} StripActions
 * @property {() => void} microphone
 * @property {() => void} interrupt
 * @property {() => void} end
 */

export class LiveStrip {
  /**
   * @param {(path: string) => string} urlOf
   * @param {StripActions} actions
   */
  constructor(urlOf, actions) {
    this.urlOf = urlOf
    this.microphone = button('microphone', actions.microphone)
    this.level = element('span', 'flashtalk-level')
    this.bar = element('span', 'flashtalk-level-bar')
    this.level.append(this.bar)
    this.interrupt = button('interrupt', actions.interrupt)
    this.end = button('end', actions.end)
    this.address = element('input', 'flashtalk-address')
    this.address.readOnly = true
    this.address.addEventListener('focus', () => this.address.select())
    this.copy = button('copy', () => void this.copyAddress())
    this.copiedMs = -Infinity
    this.root = element('div', 'flashtalk-strip')
    const { microphone, level, interrupt, end, address, copy } = this
    this.root.append(microphone, level, interrupt, end, address, copy)
  }

  async copyAddress() {
    this.address.select()
    // Without a secure context there is no clipboard but the old way.
    if (navigator.clipboard) await navigator.clipboard.writeText(this.address.value).catch(() => {})
    else document.execCommand('copy')
    this.copiedMs = performance.now()
  }

  /**
   * @param {LiveMessage | null} message - of a session that listens; null: there is none
   * @param {{ isOn: boolean, peak: number, isEnding: boolean }} now
   * @param {Say} say
   */
  refresh(message, { isOn, peak, isEnding }, say) {
    this.root.hidden = !message?.session
    if (!message?.session) return
    const hears = message.source === MICROPHONE
    this.microphone.hidden = this.level.hidden = !hears
    this.address.hidden = this.copy.hidden = message.source !== SPEECH
    this.microphone.setAttribute('aria-pressed', String(isOn))
    write(this.microphone, say(isOn ? 'micOff' : 'micOn'))
    write(this.interrupt, say('interrupt'))
    write(this.end, say('end'))
    this.end.disabled = isEnding
    this.interrupt.disabled = !message.speaking && !message.waiting_s
    const db = peak > 0 ? 20 * Math.log10(peak) : FLOOR_DB
    this.bar.style.width = `${Math.max(0, Math.min(100, 100 * (1 - db / FLOOR_DB)))}%`
    const path = this.urlOf(sessionPath(message.session))
    const address = new URL(path, location.href).href
    if (this.address.value !== address) this.address.value = address
    this.address.title = say('addressOf', { address, rate: message.rate_hz })
    write(this.copy, say(performance.now() - this.copiedMs < COPIED_MS ? 'addressCopied' : 'copyAddress'))
  }
}
