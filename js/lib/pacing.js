/** When to play, wait, jump and stop loading: decisions without a player. */

/** Seconds in the buffer before the video moves for the first time: less than chunk 1 gives. */
export const FIRST_START_S = 0.25
/** And before it moves again once it stood: short stops stutter, long ones bore. */
export const START_S = 1
/** Seconds ahead at which loading stops, and goes on. Below the 60 s that a page may hold. */
export const HOLD_S = 45
export const RESUME_S = 20
/** Seconds behind the newest frame at which a viewer that follows it jumps, and to where. */
export const MAX_LAG_S = 3
export const LIVE_EDGE_S = 1
/** Seconds kept behind the video, and how many more gather before they are removed. */
export const KEEP_BACK_S = 10
export const TRIM_S = 5

const TOUCH_S = 0.1
const EMPTY_S = 0.06

/**
 * @typedef {object} Situation
 * @property {number} time - of the video, seconds
 * @property {[number, number][]} ranges - what is buffered, in order
 * @property {boolean} isOver - whether nothing more will come
 * @property {boolean} isWaiting - whether the video stands still because too little is buffered
 * @property {boolean} hasMoved - whether it ever moved
 * @property {boolean} isFollowing - whether the newest frame is wanted, at the price of a jump
 * @property {boolean} isHeld - whether loading is stopped
 */

/**
 * @typedef {object} Step
 * @property {number | null} seek - where to jump, or null
 * @property {boolean} isWaiting
 * @property {boolean} isHeld
 * @property {number} ahead - seconds buffered ahead of the video
 */

/**
 * @param {Situation} now
 * @returns {Step}
 */
export function decide(now) {
  const last = now.ranges.at(-1)
  if (!last) return { seek: null, isWaiting: !now.isOver, isHeld: false, ahead: 0 }
  let [seek, time] = [/** @type {number | null} */ (null), now.time]
  let range = now.ranges.find(([start, end]) => time >= start - TOUCH_S && time <= end + TOUCH_S)
  if (!range) {
    // Joined late, or what was to be shown is gone: go on with what comes next.
    range = now.ranges.find(([start]) => start > time) ?? last
    seek = time = range[0]
  } else if (range !== last && range[1] - time < EMPTY_S) {
    range = now.ranges[now.ranges.indexOf(range) + 1]
    seek = time = range[0]
  }
  if (now.isFollowing && last[1] - time > MAX_LAG_S) {
    range = last
    seek = time = Math.max(last[0], last[1] - LIVE_EDGE_S)
  }
  const ahead = Math.max(0, range[1] - time)
  const enough = now.hasMoved ? START_S : FIRST_START_S
  const isWaiting = !now.isOver && ahead < (now.isWaiting ? enough : EMPTY_S)
  const isHeld = last[1] - time > (now.isHeld ? RESUME_S : HOLD_S)
  return { seek, isWaiting, isHeld, ahead }
}

/**
 * End of what may be removed from the buffer, or null if it is not worth it.
 * @param {number} time
 * @param {[number, number][]} ranges
 */
export function trimEnd(time, ranges) {
  const end = time - KEEP_BACK_S
  return ranges.length && end - ranges[0][0] > TRIM_S ? end : null
}

/**
 * @param {TimeRanges} ranges
 * @returns {[number, number][]}
 */
export function listRanges(ranges) {
  return Array.from({ length: ranges.length }, (_, i) => [ranges.start(i), ranges.end(i)])
}
