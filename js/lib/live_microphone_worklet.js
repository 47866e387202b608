/**
 * In the audio thread: gathers what is heard into pieces of 20 ms. ComfyUI's page loads each script
 * of the pack; there this does nothing.
 */

const scope = /** @type {any} */ (globalThis)
const PIECE_S = 0.02

if (scope.registerProcessor && scope.AudioWorkletProcessor) {
  class Pieces extends scope.AudioWorkletProcessor {
    constructor() {
      super()
      this.piece = new Int16Array(Math.round(PIECE_S * scope.sampleRate))
      this.filled = 0
      this.peak = 0
    }

    /** @param {Float32Array[][]} inputs */
    process(inputs) {
      for (const sample of inputs[0]?.[0] ?? []) {
        const value = Math.max(-1, Math.min(1, sample))
        this.peak = Math.max(this.peak, Math.abs(value))
        this.piece[this.filled++] = Math.round(value * 32767)
        if (this.filled === this.piece.length) this.send()
      }
      return true
    }

    send() {
      const port = /** @type {any} */ (this).port
      port.postMessage({ piece: this.piece, peak: this.peak })
      this.piece = new Int16Array(this.piece.length)
      this.filled = this.peak = 0
    }
  }
  scope.registerProcessor('flashtalk-pieces', Pieces)
}
