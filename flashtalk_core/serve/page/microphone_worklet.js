/** Blocks of 20 ms of what is heard, from the audio thread. Does nothing where it is loaded elsewhere. */

const BLOCK = 320

function define() {
  class Blocks extends AudioWorkletProcessor {
    constructor() {
      super()
      this.block = new Float32Array(BLOCK)
      this.size = 0
    }

    /** @param {Float32Array[][]} inputs */
    process([[samples]]) {
      for (let taken = 0; samples && taken < samples.length;) {
        const part = samples.subarray(taken, taken + BLOCK - this.size)
        this.block.set(part, this.size)
        this.size += part.length
        taken += part.length
        if (this.size === BLOCK) this.pass()
      }
      return true
    }

    pass() {
      const { block } = this
      this.port.postMessage(block, [block.buffer])
      this.block = new Float32Array(BLOCK)
      this.size = 0
    }
  }
  registerProcessor('flashtalk-blocks', Blocks)
}

if ('registerProcessor' in globalThis) define()
