/** When to play, wait, jump and stop loading: decisions without a player. */

/** Seconds in the buffer before a video moves again once it stood: short stops stutter, long ones bore. */
export const START_S = 1
/** Seconds kept behind the video, and how many more gather before they are removed. */
export const KEEP_BACK_S = 10
export const TRIM_S = 5

const TOUCH_S = 0.1

/**
 * How a stream is played; all in seconds.
 * @typedef {object} Pacing
 * @property {boolean} follows - whether the newest frame is wanted from the beginning
 * @property {number} firstStart - in the buffer before the video moves for the first time
 * @property {number} start - and before it moves again once it stood
 * @property {number} empty - ahead at which it stands
 * @property {number} hold - ahead at which loading stops; below the 60 s that a page may hold
 * @property {number} resume - and goes on
 * @property {number} maxLag - behind the newest frame at which a viewer that follows it jumps
 * @property {number} edge - and to where
 * @property {CatchUp | null} catchUp - what makes up for less; null is nothing
 */
/**
 * @typedef {object} CatchUp
 * @property {number} from - behind the newest frame at which the video plays faster, or jumps if it
 *   stands anyway
 * @property {number} until - and at its own speed again
 * @property {number} rate - how fast meanwhile
 */

/** A render: what was made is seen whole. Its first chunk gives more than it waits for. @type {Pacing} */
export const RENDER = {
  follows: false, firstStart: 0.25, start: START_S, empty: 0.06, hold: 45, resume: 20,
  maxLag: 3, edge: 1, catchUp: null,
}
/**
 * A conversation: what is late is not wanted any more. Fragments are 0.08 s, so that what is ahead
 * moves by as much; more than `from` is there only after something held up the page.
 * @type {Pacing}
 */
export const LIVE = {
  follows: true, firstStart: 0.15, start: 0.15, empty: 0.02, hold: 45, resume: 20,
  maxLag: 0.5, edge: 0.15, catchUp: { from: 0.22, until: 0.15, rate: 1.08 },
}

/**
 * @typedef {object} Situation
 * @property {number} time - of the video, seconds
 * @property {[number, number][]} ranges - what is buffered, in order
 * @property {boolean} isOver - whether nothing more will come
 * @property {boolean} isWaiting - whether the video stands still because too little is buffered
 * @property {boolean} hasMoved - whether it ever moved
 * @property {boolean} isFollowing - whether the newest frame is wanted, at the price of a jump
 * @property {boolean} isHeld - whether loading is stopped
 * @property {boolean} isFast - whether it catches up
 */

/**
 * @typedef {object} Step
 * @property {number | null} seek - where to jump, or null
 * @property {boolean} isWaiting
 * @property {boolean} isHeld
 * @property {boolean} isFast
 * @property {number} ahead - seconds buffered ahead of the video
 */

/**
 * @param {Situation} now
 * @param {Pacing} pacing
 * @returns {Step}
 */
export function decide(now, pacing = RENDER) {
  const last = now.ranges.at(-1)
  if (!last) return { seek: null, isWaiting: !now.isOver, isHeld: false, isFast: false, ahead: 0 }
  let [seek, time] = [/** @type {number | null} */ (null), now.time]
  let range = now.ranges.find(([start, end]) => time >= start - TOUCH_S && time <= end + TOUCH_S)
  if (!range) {
    // Joined late, or what was to be shown is gone: go on with what comes next.
    range = now.ranges.find(([start]) => start > time) ?? last
    seek = time = range[0]
  } else if (range !== last && range[1] - time < pacing.empty) {
    range = now.ranges[now.ranges.indexOf(range) + 1]
    seek = time = range[0]
  }
  const maxLag = now.isWaiting && pacing.catchUp ? pacing.catchUp.from : pacing.maxLag
  if (now.isFollowing && last[1] - time > maxLag) {
    range = last
    seek = time = Math.max(last[0], last[1] - pacing.edge)
  }
  const ahead = Math.max(0, range[1] - time)
  const enough = now.hasMoved ? pacing.start : pacing.firstStart
  const isWaiting = !now.isOver && ahead < (now.isWaiting ? enough : pacing.empty)
  const isHeld = last[1] - time > (now.isHeld ? pacing.resume : pacing.hold)
  return { seek, isWaiting, isHeld, isFast: isBehind(now, last[1] - time, pacing.catchUp), ahead }
}

/**
 * @param {Situation} now
 * @param {number} lag
 * @param {CatchUp | null} catchUp
 */
function isBehind({ isFollowing, isFast }, lag, catchUp) {
  return catchUp !== null && isFollowing && lag > (isFast ? catchUp.until : catchUp.from)
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
