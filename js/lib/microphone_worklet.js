/**
 * In the audio thread: gathers what is heard into blocks of 20 ms. ComfyUI's page loads each script
 * of the pack; there this does nothing.
 */

const scope = /** @type {any} */ (globalThis)
const BLOCK_S = 0.02

if (scope.registerProcessor && scope.AudioWorkletProcessor) {
  class Blocks extends scope.AudioWorkletProcessor {
    constructor() {
      super()
      this.block = new Float32Array(Math.round(BLOCK_S * scope.sampleRate))
      this.filled = 0
    }

    /** @param {Float32Array[][]} inputs */
    process([[samples]]) {
      for (let taken = 0; samples && taken < samples.length;) {
        const part = samples.subarray(taken, taken + this.block.length - this.filled)
        this.block.set(part, this.filled)
        this.filled += part.length
        taken += part.length
        if (this.filled === this.block.length) this.send()
      }
      return true
    }

    send() {
      const { block } = this
      const port = /** @type {any} */ (this).port
      port.postMessage(block, [block.buffer])
      this.block = new Float32Array(Math.round(BLOCK_S * scope.sampleRate))
      this.filled = 0
    }
  }
  scope.registerProcessor('flashtalk-blocks', Blocks)
}
