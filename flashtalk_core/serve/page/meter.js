/** The level of the microphone, and the line that speech is above. */

const LOWEST_DB = -80

/** @param {number} level - dBFS */
const share = (level) => Math.max(0, Math.min(1, 1 - level / LOWEST_DB))

export class Meter {
  /** @param {HTMLElement} root */
  constructor(root) {
    this.root = root
    this.level = -Infinity
    this.threshold = LOWEST_DB
    this.frame = 0
  }

  /**
   * Drawn with the next picture of the page; levels come more often than that.
   * @param {number} level - dBFS
   * @param {number} threshold - dBFS
   */
  show(level, threshold) {
    this.level = level
    this.threshold = threshold
    this.frame ||= requestAnimationFrame(() => this.draw())
  }

  draw() {
    this.frame = 0
    const { style } = this.root
    style.setProperty('--level-share', share(this.level).toFixed(3))
    style.setProperty('--gate-share', share(this.threshold).toFixed(3))
    this.root.setAttribute('aria-valuenow', String(Math.round(Math.max(LOWEST_DB, this.level))))
  }
}
