/** The microphone of the page, as pieces of 20 ms at 16 kHz. */

export const RATE_HZ = 16000

/** @typedef {{ piece: Int16Array<ArrayBuffer>, peak: number }} Piece - peak from 0 to 1 */

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
   * @param {(piece: Piece) => void} onPiece
   * @param {() => void} onGone - it was unplugged, or taken away by the browser
   */
  constructor(onPiece, onGone) {
    this.onPiece = onPiece
    this.onGone = onGone
    /** @type {MediaStream | null} */
    this.stream = null
    /** @type {AudioContext | null} */
    this.context = null
    this.isClosed = false
  }

  /** Ask the user, and begin. */
  async open() {
    // Gain control would lift the noise between words, which the server takes for silence.
    const audio = { echoCancellation: true, noiseSuppression: true, autoGainControl: false }
    const stream = await navigator.mediaDevices.getUserMedia({ audio })
    if (this.isClosed) {
      stopTracks(stream)
      return
    }
    this.stream = stream
    for (const track of stream.getTracks()) track.addEventListener('ended', this.onGone)
    const context = (this.context = new AudioContext({ sampleRate: RATE_HZ }))
    await context.resume()
    await context.audioWorklet.addModule(new URL('./live_microphone_worklet.js', import.meta.url).href)
    if (this.isClosed) return
    const node = new AudioWorkletNode(context, 'flashtalk-pieces', { numberOfOutputs: 0 })
    node.port.onmessage = ({ data }) => this.isClosed || this.onPiece(data)
    context.createMediaStreamSource(stream).connect(node)
  }

  close() {
    this.isClosed = true
    if (this.stream) stopTracks(this.stream)
    void this.context?.close()
    this.stream = this.context = null
  }
}

/** @param {MediaStream} stream */
function stopTracks(stream) {
  for (const track of stream.getTracks()) track.stop()
}
