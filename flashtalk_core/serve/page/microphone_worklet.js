/** Blocks of 20 ms of what is heard, from the audio thread. Does nothing where it is loaded elsewhere. */

function define() {
  const size = sampleRate / 50

  class Blocks extends AudioWorkletProcessor {
    constructor() {
      super()
      this.block = new Float32Array(size)
      this.size = 0
    }

    /** @param {Float32Array[][]} inputs */
    process([[samples]]) {
      for (let taken = 0; samples && taken < samples.length;) {
        const part = samples.subarray(taken, taken + size - this.size)
        this.block.set(part, this.size)
        this.size += part.length
        taken += part.length
        if (this.size === size) this.pass()
      }
      return true
    }

    pass() {
      const { block } = this
      this.port.postMessage(block, [block.buffer])
      this.block = new Float32Array(size)
      this.size = 0
    }
  }
  registerProcessor('flashtalk-blocks', Blocks)
}

if ('registerProcessor' in globalThis) define()
