/** The head of a fragmented MP4: where it ends, and which codecs it names. */

/**
 * Position of four characters, or -1.
 * @param {Uint8Array} bytes
 * @param {string} kind
 */
function find(bytes, kind) {
  const [a, b, c, d] = [...kind].map((letter) => letter.charCodeAt(0))
  for (let i = 0; i + 4 <= bytes.length; i++)
    if (bytes[i] === a && bytes[i + 1] === b && bytes[i + 2] === c && bytes[i + 3] === d) return i
  return -1
}

/**
 * Bytes of everything up to the end of `moov`; 0 while that is not there yet.
 * @param {Uint8Array} bytes
 */
export function headSize(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let start = 0
  while (start + 8 <= bytes.length) {
    const stop = start + Math.max(8, view.getUint32(start))
    const kind = String.fromCharCode(...bytes.subarray(start + 4, start + 8))
    if (kind === 'moov') return stop <= bytes.length ? stop : 0
    start = stop
  }
  return 0
}

/**
 * MIME type with codecs, as MediaSource wants it. What the encoder was asked for says little of
 * the profile it chose, so that it is read from the stream.
 * @param {Uint8Array} head
 * @returns {string}
 */
export function mimeType(head) {
  const codecs = []
  const avcC = find(head, 'avcC')
  if (avcC >= 0) {
    const profile = [...head.subarray(avcC + 5, avcC + 8)]
    codecs.push('avc1.' + profile.map((byte) => byte.toString(16).padStart(2, '0')).join(''))
  }
  if (find(head, 'mp4a') >= 0) codecs.push('mp4a.40.2')
  return `video/mp4; codecs="${codecs.join(',')}"`
}
