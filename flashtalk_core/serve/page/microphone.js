/** The microphone: blocks of 20 ms. */

/**
 * The avatar says it as it was heard, so with all that a voice has. At 16 kHz, which is what the
 * networks hear, the video would also come three frames later: AAC has frames of 1024 samples.
 */
export const RATE_HZ = 48_000

/** The canceller keeps the avatar's own voice out; gain control would lift the noise to the gate. */
const CONSTRAINTS = {
  audio: {
    channelCount: 1, echoCancellation: true, noiseSuppression: true, autoGainControl: false,
  },
}

/** Whether the browser lets this page ask for a microphone at all. */
export function canListen() {
  return Boolean(navigator.mediaDevices?.getUserMedia)
}

export class Microphone {
  /**
   * @param {(block: Float32Array) => void} onBlock - gets 20 ms at a time
   * @param {() => void} onEnd - the device was taken away
   */
  constructor(onBlock, onEnd) {
    this.onBlock = onBlock
    this.onEnd = onEnd
    this.isClosed = false
    /** @type {MediaStream | null} */
    this.stream = null
    /** @type {AudioContext | null} */
    this.context = null
  }

  /** Ask the user, and listen. Rejects with the browser's error. */
  async open() {
    this.stream = await navigator.mediaDevices.getUserMedia(CONSTRAINTS)
    if (this.isClosed) return this.close() // given up while the user was asked
    for (const track of this.stream.getAudioTracks()) track.addEventListener('ended', this.onEnd)
    this.context = new AudioContext({ sampleRate: RATE_HZ })
    try {
      const address = new URL('microphone_worklet.js', import.meta.url)
      await this.context.audioWorklet.addModule(address.href)
      if (this.isClosed) return
      const blocks = new AudioWorkletNode(this.context, 'flashtalk-blocks', { numberOfOutputs: 0 })
      blocks.port.onmessage = ({ data }) => this.isClosed || this.onBlock(data)
      this.context.createMediaStreamSource(this.stream).connect(blocks)
      await this.context.resume()
    } catch (error) {
      this.close()
      throw error
    }
  }

  close() {
    this.isClosed = true
    for (const track of this.stream?.getTracks() ?? []) track.stop()
    if (this.context?.state !== 'closed') this.context?.close()
  }
}
