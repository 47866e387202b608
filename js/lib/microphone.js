/** The microphone of a page, as blocks of 20 ms. */

/**
 * The avatar says it as it was heard, so with all that a voice has, not with the 16 kHz that the
 * networks hear.
 */
export const RATE_HZ = 48_000

/** The canceller keeps the avatar's own voice out; gain control would lift the noise to the gate. */
const CONSTRAINTS = {
  audio: {
    channelCount: 1, echoCancellation: true, noiseSuppression: true, autoGainControl: false,
  },
}

/** Why there is none, as words.js says it; empty if there may be one. */
export function whyNone() {
  if (!window.isSecureContext) return 'micInsecure'
  const isAble = navigator.mediaDevices && window.AudioWorkletNode
  return isAble ? '' : 'micUnsupported'
}

/** What words.js says of an error of the browser. @param {unknown} error */
export function whyFailed(error) {
  const name = error instanceof DOMException ? error.name : ''
  if (name === 'NotAllowedError' || name === 'SecurityError') return 'micDenied'
  return name === 'NotFoundError' ? 'micMissing' : 'micFailed'
}

export class Microphone {
  /**
   * @param {(block: Float32Array) => void} onBlock - full scale at 1
   * @param {() => void} onGone - it was unplugged, or taken away by the browser
   */
  constructor(onBlock, onGone) {
    this.onBlock = onBlock
    this.onGone = onGone
    /** @type {MediaStream | null} */
    this.stream = null
    /** @type {AudioContext | null} */
    this.context = null
    this.isClosed = false
  }

  /** Ask the user, and listen. Rejects with the browser's error. */
  async open() {
    this.stream = await navigator.mediaDevices.getUserMedia(CONSTRAINTS)
    if (this.isClosed) return this.close() // given up while the user was asked
    for (const track of this.stream.getAudioTracks()) track.addEventListener('ended', this.onGone)
    this.context = new AudioContext({ sampleRate: RATE_HZ })
    try {
      await this.context.audioWorklet.addModule(new URL('./microphone_worklet.js', import.meta.url).href)
      if (this.isClosed) return
      const node = new AudioWorkletNode(this.context, 'flashtalk-blocks', { numberOfOutputs: 0 })
      node.port.onmessage = ({ data }) => this.isClosed || this.onBlock(data)
      this.context.createMediaStreamSource(this.stream).connect(node)
      await this.context.resume()
    } catch (error) {
      this.close()
      throw error
    }
  }

  close() {
    this.isClosed = true
    for (const track of this.stream?.getTracks() ?? []) track.stop()
    if (this.context && this.context.state !== 'closed') void this.context.close()
  }
}
