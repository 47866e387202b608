/** The page: elements, and what they do. */

import { whyNone } from '../lib/microphone.js'
import { LIVE } from '../lib/pacing.js'
import { Player } from '../lib/player.js'
import { speakIn } from '../lib/words.js'
import { BargeIn } from './barge_in.js'
import { Conversation } from './conversation.js'
import { Latency } from './latency.js'
import { Meter } from './meter.js'
import { watchPush } from './push_to_talk.js'
import {
  NO_MICROPHONE_HERE, STATES, endOf, latencyOf, noMicrophone, sayingCommand, unreadable,
} from './sentences.js'
import { readSound } from './sound_file.js'

const REFRESH_MS = 250
const REVIVE_MS = 1000

/** @typedef {import('./connection.js').Message} Message */

/**
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new () => T} kind
 * @returns {T}
 */
function find(id, kind) {
  const found = document.getElementById(id)
  if (found instanceof kind) return found
  throw new Error(`the page has no ${id}`)
}

const button = (/** @type {string} */ id) => find(id, HTMLButtonElement)
const [start, end, interrupt, sound] = ['start', 'end', 'interrupt', 'sound'].map(button)
const [push, video] = [button('push'), find('video', HTMLVideoElement)]
const [note, lost] = [find('note', HTMLElement), find('no-microphone', HTMLElement)]
const [state, lag] = [find('state', HTMLElement), find('lag', HTMLElement)]
const tokenForm = find('token-form', HTMLFormElement)
const token = find('token', HTMLInputElement)
const file = find('file', HTMLInputElement)
const sustain = find('sustain', HTMLSelectElement)
const command = find('say', HTMLElement)

const say = speakIn(() => 'en')
const meter = new Meter(find('level', HTMLElement))
const player = new Player(video, refresh, LIVE)
const latency = new Latency(video, (ms) => {
  find('latency', HTMLElement).textContent = latencyOf(ms / 1000)
})
const conversation = new Conversation({
  onChange: refresh,
  onLevel: (level, threshold) => meter.show(level, threshold),
  onMessage: take,
  onEnd: finish,
  onNoMicrophone: (error) => tell(lost, noMicrophone(error)),
  onSaid: (atMs) => latency.said(atMs),
})
let stream = ''

/**
 * @param {HTMLElement} place
 * @param {string} text - nothing hides the place
 */
function tell(place, text) {
  place.textContent = text
  place.hidden = !text
}

/** @param {Message} message */
function take(message) {
  if (message.type === 'ready') {
    const address = new URL(`.${message.stream}`, document.baseURI).href
    command.textContent = sayingCommand(address.replace(/stream$/, 'say'), message.rate)
    if (address !== stream) watch(address)
    stream = address
  }
  if (message.type === 'stream') latency.firstFrame = message.frame
  if (message.type === 'speaking') latency.speaking(message.frame)
  if (message.type === 'played' && message.interrupted) latency.forget()
  if (message.type === 'error') tell(note, message.message)
}

/** @param {string} address */
function watch(address) {
  latency.firstFrame = null
  player.showLive((fromS) => (fromS === null ? address : `${address}?from=${Math.round(fromS * 1000)}`))
}

/**
 * @param {string} reason
 * @param {string} message
 */
function finish(reason, message) {
  stream = ''
  player.stop()
  latency.forget()
  tell(note, endOf(reason, message))
  tokenForm.hidden = reason !== 'token'
  if (reason === 'token') token.focus()
  else start.focus()
  command.textContent = 'Start a session first.'
}

function begin() {
  tell(note, '')
  tokenForm.hidden = true
  conversation.start(token.value)
  ;(push.hidden ? end : push).focus()
}

/** @param {boolean} isMuted */
function mute(isMuted) {
  video.muted = isMuted
  refresh()
}

/** @param {string} name - of radio buttons */
const chosen = (name) =>
  /** @type {HTMLInputElement} */ (document.querySelector(`input[name=${name}]:checked`)).value

/**
 * @param {string} name
 * @param {(value: any) => void} use
 */
function onChoice(name, use) {
  for (const choice of document.querySelectorAll(`input[name=${name}]`))
    choice.addEventListener('change', () => use(chosen(name)))
}

function refresh() {
  const { state: now, isConnected, input } = conversation
  if (state.dataset.state !== now) {
    state.dataset.state = now
    state.textContent = STATES[now]
  }
  start.hidden = now !== 'off'
  end.hidden = now === 'off'
  interrupt.disabled = file.disabled = !isConnected
  sound.setAttribute('aria-pressed', String(!video.muted))
  sound.textContent = video.muted ? 'Sound off' : 'Sound on'
  push.hidden = input !== 'push'
  push.disabled = !isConnected
  push.setAttribute('aria-pressed', String(conversation.isPushed))
  find('talk-options', HTMLElement).hidden = conversation.mode !== 'talk'
  const choice = document.querySelector(`input[name=input][value=${input}]`)
  if (choice instanceof HTMLInputElement) choice.checked = true
  lag.textContent = player.live && !player.isWaiting ? `${player.ahead.toFixed(2)} s` : '-'
  if (player.why.key) tell(note, say('imagesOnly', { why: say(player.why.key, player.why.values) }))
}

/** Look again where the server ended the video, not the session. */
function revive() {
  if (player.isOver && conversation.isConnected) watch(stream)
}

start.addEventListener('click', begin)
tokenForm.addEventListener('submit', (event) => {
  event.preventDefault()
  begin()
})
end.addEventListener('click', () => conversation.end())
interrupt.addEventListener('click', () => conversation.interrupt())
sound.addEventListener('click', () => mute(!video.muted))
sustain.addEventListener('change', () => {
  conversation.bargeIn = new BargeIn(Number(sustain.value))
})
file.addEventListener('change', async () => {
  const chosenFile = file.files?.[0]
  file.value = '' // so that the same file can be said again
  if (!chosenFile) return
  try {
    conversation.say(await readSound(chosenFile))
    tell(note, '')
  } catch {
    tell(note, unreadable(chosenFile.name))
  }
})
onChoice('mode', (mode) => {
  conversation.setMode(mode)
  mute(mode === 'repeat') // nobody can speak against their own voice two seconds late
})
onChoice('input', (input) => {
  tell(lost, '')
  conversation.setInput(input)
})
watchPush(push, (isPushed) => conversation.push(isPushed))

if (whyNone()) {
  conversation.setInput('off')
  tell(lost, NO_MICROPHONE_HERE)
  for (const choice of document.querySelectorAll('input[name=input]'))
    choice.toggleAttribute('disabled', true)
}
setInterval(refresh, REFRESH_MS)
setInterval(revive, REVIVE_MS)
refresh()
