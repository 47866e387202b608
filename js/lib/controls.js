/** The buttons over the video. */

import { button, element, write } from './elements.js'

/** @typedef {import('./words.js').Say} Say */
/**
 * @typedef {object} Actions
 * @property {() => void} play
 * @property {() => void} sound
 * @property {() => void} follow
 * @property {() => void} full
 * @property {(steps: number) => void} take
 */
/**
 * @typedef {object} Controlled
 * @property {import('./player.js').Player} player
 * @property {HTMLVideoElement} video
 * @property {boolean} hasEnded - whether no newer frame will come
 * @property {number} take - which one is shown, from 0
 * @property {number} numTakes
 */

export class Controls {
  /** @param {Actions} actions */
  constructor(actions) {
    this.play = button('play', actions.play)
    this.sound = button('sound', actions.sound)
    this.follow = button('follow', actions.follow)
    this.full = button('full', actions.full)
    this.previous = button('previous', () => actions.take(-1))
    this.next = button('next', () => actions.take(1))
    this.count = element('span', 'flashtalk-count')
    this.takes = element('span', 'flashtalk-takes')
    this.takes.append(this.previous, this.count, this.next)
    this.root = element('div', 'flashtalk-bar')
    this.root.append(this.play, this.sound, this.follow, this.full, this.takes)
  }

  /**
   * @param {Controlled} now
   * @param {Say} say
   */
  refresh({ player, video, hasEnded, take, numTakes }, say) {
    const { mode } = player
    write(this.play, say(player.isPaused ? 'play' : 'pause'))
    write(this.sound, say(video.muted ? 'unmute' : 'mute'))
    write(this.follow, say('live'))
    write(this.full, say('fullScreen'))
    this.sound.classList.toggle('flashtalk-muted', video.muted)
    this.follow.setAttribute('aria-pressed', String(player.isFollowing))
    this.play.hidden = this.full.hidden = mode !== 'live' // a file has the browser's own
    this.follow.hidden = mode !== 'live' || hasEnded
    this.sound.hidden = mode !== 'live' && mode !== 'file'
    this.takes.hidden = mode === 'live' || numTakes < 2
    write(this.previous, '‹')
    write(this.next, '›')
    write(this.count, `${take + 1}/${numTakes}`)
    this.previous.title = say('previousTake')
    this.next.title = say('nextTake')
    this.previous.disabled = take <= 0
    this.next.disabled = take >= numTakes - 1
  }
}
