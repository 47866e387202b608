/** What the page does with sound: whom it hears, what it sends, and when it interrupts. */

import { Microphone, RATE_HZ } from '../lib/microphone.js'
import { toPcm } from '../lib/pcm.js'
import { BargeIn } from './barge_in.js'
import { Connection } from './connection.js'
import { BLOCK_MS, Gate } from './gate.js'
import { sendSound } from './sound_file.js'

/**
 * @typedef {'off' | 'connecting' | 'idle' | 'speaking' | 'lost'} State
 * @typedef {'repeat' | 'talk'} Mode - says what the microphone hears, or is interrupted by it
 * @typedef {'open' | 'push' | 'off'} Input - of the microphone
 */
/**
 * @typedef {object} ConversationHooks
 * @property {() => void} onChange
 * @property {(level: number, threshold: number) => void} onLevel - of the microphone, dBFS
 * @property {(message: import('./connection.js').Message) => void} onMessage
 * @property {(reason: string, message: string) => void} onEnd
 * @property {(error: Error) => void} onNoMicrophone
 * @property {(atMs: number) => void} onSaid - speech goes out while the avatar is idle
 */

export class Conversation {
  /** @param {ConversationHooks} hooks */
  constructor(hooks) {
    this.hooks = hooks
    /** @type {State} */
    this.state = 'off'
    /** @type {Mode} */
    this.mode = 'repeat'
    /** @type {Input} */
    this.input = 'open'
    this.isPushed = false
    this.isTalking = false
    this.bargeIn = new BargeIn(300)
    this.gate = new Gate()
    /** @type {Connection | null} */
    this.connection = null
    /** @type {Microphone | null} */
    this.microphone = null
    /** @type {AbortController | null} what stops the file that is being sent */
    this.sending = null
  }

  get isConnected() {
    return this.state === 'idle' || this.state === 'speaking'
  }

  /** @param {string} token - empty where the server wants none */
  start(token) {
    this.become('connecting')
    const start = { rate: RATE_HZ, ...(token && { token }) }
    this.connection = new Connection(start, {
      onMessage: (message) => this.take(message),
      onBreak: () => this.become('lost'),
      onEnd: (reason, message) => this.finish(reason, message),
    })
  }

  end() {
    this.connection?.close()
  }

  interrupt() {
    this.stopSending()
    this.connection?.send({ type: 'clear' })
  }

  /** @param {Mode} mode */
  setMode(mode) {
    this.stopTalking()
    this.mode = mode
    this.bargeIn.reset()
    this.hooks.onChange()
  }

  /** @param {Input} input */
  setInput(input) {
    this.stopTalking()
    this.input = input
    this.isPushed = false
    if (input === 'off') this.closeMicrophone()
    else if (this.state !== 'off') this.openMicrophone()
    this.hooks.onChange()
  }

  /** @param {boolean} isPushed - whether the button to talk is held */
  push(isPushed) {
    if (isPushed === this.isPushed || (isPushed && this.input !== 'push')) return
    this.isPushed = isPushed
    if (!isPushed) this.stopTalking()
    this.hooks.onChange()
  }

  /** Say a sound, once what is being sent is said. @param {Int16Array<ArrayBuffer>} pcm */
  async say(pcm) {
    this.stopSending()
    this.stopTalking()
    const { signal } = (this.sending = new AbortController())
    this.note(performance.now())
    await sendSound(pcm, (piece) => this.connection?.sendSound(piece), signal)
    if (signal.aborted) return
    this.sending = null
    this.connection?.send({ type: 'end' })
  }

  async openMicrophone() {
    if (this.microphone) return
    this.gate = new Gate()
    const microphone = (this.microphone = new Microphone(
      (block) => this.hear(block),
      () => this.lose(new Error('the microphone was taken away')),
    ))
    await microphone.open().catch((error) => {
      if (microphone === this.microphone) this.lose(error)
    })
  }

  /** @param {Error} error */
  lose(error) {
    this.closeMicrophone()
    this.input = 'off'
    this.hooks.onNoMicrophone(error)
    this.hooks.onChange()
  }

  closeMicrophone() {
    this.stopTalking()
    this.microphone?.close()
    this.microphone = null
    this.hooks.onLevel(-Infinity, this.gate.thresholdDb)
  }

  /** @param {Float32Array} block */
  hear(block) {
    const heard = this.gate.judge(block)
    this.hooks.onLevel(heard.level, this.gate.thresholdDb)
    const isListening = this.isConnected && (this.input === 'open' || this.isPushed)
    if (!isListening || this.sending) return
    if (this.mode === 'talk') {
      if (this.state !== 'speaking') this.bargeIn.reset()
      else if (this.bargeIn.take(heard.isLoud)) this.interrupt()
    } else if (this.isPushed) this.tell([block])
    else {
      this.tell(heard.passed)
      if (heard.hasClosed) this.stopTalking()
    }
  }

  /**
   * Send what was heard, the last of it now.
   * @param {Float32Array[]} blocks
   */
  tell(blocks) {
    if (!blocks.length) return
    if (!this.isTalking) this.note(performance.now() - blocks.length * BLOCK_MS)
    this.isTalking = true
    for (const block of blocks) this.connection?.sendSound(toPcm(block))
  }

  /** @param {number} atMs */
  note(atMs) {
    if (this.state === 'idle') this.hooks.onSaid(atMs)
  }

  stopTalking() {
    if (this.isTalking) this.connection?.send({ type: 'end' })
    this.isTalking = false
  }

  stopSending() {
    if (!this.sending) return
    this.sending.abort()
    this.sending = null
    this.connection?.send({ type: 'end' })
  }

  /** @param {import('./connection.js').Message} message */
  take(message) {
    if (message.type === 'ready') {
      this.isTalking = false // the server ended what was being said
      if (this.input !== 'off') this.openMicrophone()
    }
    if (message.type === 'ready' || message.type === 'idle') this.become('idle')
    if (message.type === 'speaking') this.become('speaking')
    this.hooks.onMessage(message)
  }

  /** @param {State} state */
  become(state) {
    this.state = state
    if (state === 'lost') {
      this.sending?.abort()
      this.sending = null
    }
    this.hooks.onChange()
  }

  /**
   * @param {string} reason
   * @param {string} message
   */
  finish(reason, message) {
    this.sending?.abort()
    this.sending = null
    this.connection = null
    this.isPushed = this.isTalking = false
    this.closeMicrophone()
    this.become('off')
    this.hooks.onEnd(reason, message)
  }
}
