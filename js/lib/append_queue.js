/** Queue of bytes for a SourceBuffer: one append at a time, within the browser's quota. */

import { listRanges, trimEnd } from './pacing.js'

/** Bytes that may wait; more would mean that the buffer takes none at all. */
const MAX_WAITING = 96 * 2 ** 20

export class AppendQueue {
  /**
   * @param {SourceBuffer} buffer
   * @param {() => number} time - of the video, seconds
   * @param {(error: Error) => void} onError
   */
  constructor(buffer, time, onError) {
    this.buffer = buffer
    this.time = time
    this.onError = onError
    /** @type {Uint8Array<ArrayBuffer>[]} */
    this.waiting = []
    this.numWaiting = 0
    this.isFull = false
    this.mustReset = false
    this.pump = this.pump.bind(this)
    buffer.addEventListener('updateend', this.pump)
  }

  /** @param {Uint8Array<ArrayBuffer>} bytes */
  push(bytes) {
    this.waiting.push(bytes)
    this.numWaiting += bytes.length
    if (this.numWaiting > MAX_WAITING) this.onError(new Error('noMoreRoom'))
    else this.pump()
  }

  get isEmpty() {
    return !this.waiting.length && !this.buffer.updating
  }

  /** Remove what was seen, or append what comes next. Also called from time to time. */
  pump() {
    if (this.buffer.updating) return
    if (this.mustReset) this.resetParser()
    try {
      const end = trimEnd(this.time(), listRanges(this.buffer.buffered))
      if (end !== null) {
        this.isFull = false
        this.buffer.remove(0, end)
      } else if (this.waiting.length && !this.isFull) {
        this.buffer.appendBuffer(this.waiting[0])
        this.numWaiting -= /** @type {Uint8Array} */ (this.waiting.shift()).length
      }
    } catch (error) {
      if (error instanceof DOMException && error.name === 'QuotaExceededError') this.makeRoom()
      else this.onError(/** @type {Error} */ (error))
    }
  }

  /** Remove all that was seen; without any, wait until something was. */
  makeRoom() {
    const [first] = listRanges(this.buffer.buffered)
    const end = this.time() - 1
    this.isFull = !first || end <= first[0]
    if (this.isFull) setTimeout(() => { this.isFull = false; this.pump() }, 1000)
    else this.buffer.remove(0, end)
  }

  /** Forget what waits, and the part of a fragment that was cut off: another one begins. */
  reset() {
    this.waiting = []
    this.numWaiting = 0
    this.mustReset = true // not now if it just removes what was seen: it would refuse
    this.pump()
  }

  resetParser() {
    this.mustReset = false
    try {
      this.buffer.abort()
    } catch {
      // The source has ended; its parser is at rest.
    }
  }

  close() {
    this.buffer.removeEventListener('updateend', this.pump)
    this.waiting = []
  }
}
