/** Samples as the server takes them. */

/**
 * @param {Float32Array} samples - full scale at 1
 * @returns {Int16Array<ArrayBuffer>}
 */
export function toPcm(samples) {
  return Int16Array.from(samples, (x) => Math.max(-32768, Math.min(32767, Math.round(x * 32768))))
}

/** Loudest sample, at most 1. @param {Float32Array} samples */
export function peakOf(samples) {
  return samples.reduce((peak, x) => Math.max(peak, Math.min(1, Math.abs(x))), 0)
}
