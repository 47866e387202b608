/** Whether somebody has spoken long enough to interrupt. */

import { BLOCK_MS } from './gate.js'

/** Quiet within speech that does not count as its end. */
const DIP_MS = 100

export class BargeIn {
  /** @param {number} sustainMs - speech that interrupts; Infinity never does */
  constructor(sustainMs) {
    this.sustainMs = sustainMs
    this.loudMs = 0
    this.quietMs = 0
    this.hasFired = false
  }

  reset() {
    this.loudMs = 0
    this.quietMs = 0
    this.hasFired = false
  }

  /**
   * Take a block of the microphone; true once for each stretch of speech.
   * @param {boolean} isLoud
   */
  take(isLoud) {
    this.quietMs = isLoud ? 0 : this.quietMs + BLOCK_MS
    if (this.quietMs > DIP_MS) this.reset()
    else if (isLoud) this.loudMs += BLOCK_MS
    if (this.hasFired || this.loudMs < this.sustainMs) return false
    this.hasFired = true
    return true
  }
}
