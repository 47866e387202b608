/** A sound file as the server takes it, sent no further ahead than it keeps. */

import { RATE_HZ } from '../lib/microphone.js'
import { toPcm } from '../lib/pcm.js'

/** The server keeps 60 s that wait; what goes beyond this is sent as the avatar speaks. */
const AHEAD_S = 30
const PIECE_S = 1

/**
 * Any sound file that the browser plays, mono. Rejects what it cannot read.
 * @param {Blob} file
 */
export async function readSound(file) {
  const context = new OfflineAudioContext(1, 1, RATE_HZ)
  const sound = await context.decodeAudioData(await file.arrayBuffer())
  const mixed = new Float32Array(sound.length)
  for (let channel = 0; channel < sound.numberOfChannels; channel++)
    sound.getChannelData(channel).forEach((x, i) => (mixed[i] += x / sound.numberOfChannels))
  return toPcm(mixed)
}

/**
 * Send sound in pieces; ends early once it is aborted.
 * @param {Int16Array<ArrayBuffer>} pcm
 * @param {(piece: Int16Array<ArrayBuffer>) => void} send
 * @param {AbortSignal} signal
 */
export async function sendSound(pcm, send, signal) {
  const startMs = performance.now()
  for (let at = 0; at < pcm.length && !signal.aborted; at += PIECE_S * RATE_HZ) {
    const aheadMs = (at / RATE_HZ - AHEAD_S) * 1000 - (performance.now() - startMs)
    if (aheadMs > 0) await new Promise((done) => setTimeout(done, aheadMs))
    if (!signal.aborted) send(pcm.slice(at, at + PIECE_S * RATE_HZ))
  }
}
