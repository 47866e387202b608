/**
 * Which 20 ms blocks of a microphone are speech. Mirrors flashtalk_core/live/audio/gate.py, and a
 * test compares the two.
 */

const THRESHOLD_DB = -50
const ABOVE_FLOOR_DB = 10
const FLOOR_BLOCKS = 150
const OPEN_BLOCKS = 6
const PREROLL_BLOCKS = 6
const HANG_BLOCKS = 15
/** Of a block: 5 ms. */
const FADE_SHARE = 1 / 4
const QUIETEST_DB = -120

export const BLOCK_MS = 20

/**
 * Root mean square in dBFS, at least -120.
 * @param {Float32Array} block
 */
export function levelDb(block) {
  const power = block.reduce((sum, x) => sum + x * x, 0) / block.length
  return power ? Math.max(QUIETEST_DB, 10 * Math.log10(power)) : QUIETEST_DB
}

/**
 * @typedef {object} Judged
 * @property {number} level - of the block, dBFS
 * @property {boolean} isLoud
 * @property {Float32Array[]} passed - blocks that are speech, or shortly before or after it
 * @property {boolean} hasClosed
 */

export class Gate {
  constructor() {
    /** @type {number[]} */
    this.levels = []
    /** @type {Float32Array[]} */
    this.before = []
    this.numLoud = 0
    this.numQuiet = 0
    this.isOpen = false
  }

  /** Level above which a block is loud now, dBFS. */
  get thresholdDb() {
    const floor = this.levels.length ? Math.min(...this.levels) : QUIETEST_DB
    return Math.max(THRESHOLD_DB, floor + ABOVE_FLOOR_DB)
  }

  /**
   * @param {Float32Array} block
   * @returns {Judged}
   */
  judge(block) {
    const level = levelDb(block)
    this.levels.push(level)
    if (this.levels.length > FLOOR_BLOCKS) this.levels.shift()
    const isLoud = level > this.thresholdDb
    const wasOpen = this.isOpen
    const passed = wasOpen ? [this.pass(block, isLoud)] : this.gather(block, isLoud)
    return { level, isLoud, passed, hasClosed: wasOpen && !this.isOpen }
  }

  /**
   * @param {Float32Array} block
   * @param {boolean} isLoud
   */
  gather(block, isLoud) {
    this.numLoud = isLoud ? this.numLoud + 1 : 0
    this.before.push(block)
    if (this.before.length > OPEN_BLOCKS + PREROLL_BLOCKS) this.before.shift()
    if (this.numLoud < OPEN_BLOCKS) return []
    this.isOpen = true
    this.numLoud = this.numQuiet = 0
    const [first, ...rest] = this.before
    const last = first.length * FADE_SHARE - 1
    return [first.map((x, i) => x * Math.min(1, i / last)), ...rest]
  }

  /**
   * @param {Float32Array} block
   * @param {boolean} isLoud
   */
  pass(block, isLoud) {
    this.numQuiet = isLoud ? 0 : this.numQuiet + 1
    if (this.numQuiet < HANG_BLOCKS) return block
    this.isOpen = false
    this.before = []
    const [end, last] = [block.length - 1, block.length * FADE_SHARE - 1]
    return block.map((x, i) => x * Math.min(1, (end - i) / last))
  }
}
