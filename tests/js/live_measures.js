// In the live page before its own scripts: notes what goes over its connection, when its microphone
// hears a sound and when its video shows and plays one, in performance.now().

const seen = (window.seen = {
  sockets: [], sent: [], got: [], heard: [], lit: [], frames: [], sounded: [], silent: [], numSound: 0,
})

window.WebSocket = class extends WebSocket {
  constructor(address) {
    super(address)
    seen.sockets.push(this)
    this.addEventListener('message', ({ data }) => seen.got.push({ ...JSON.parse(data), at: performance.now() }))
  }

  send(data) {
    if (typeof data === 'string') seen.sent.push({ ...JSON.parse(data), at: performance.now() })
    else seen.numSound++
    super.send(data)
  }
}

/**
 * Blocks come one after the other, but are noticed when the page has time: their clock is that of
 * the one that was noticed first, of the last half second.
 */
const BLOCK_MS = 20
const starts = []
let quietMs = 1000

function hear(block) {
  starts.push(performance.now() - (starts.length + 1) * BLOCK_MS)
  if (!block.some((x) => Math.abs(x) > 0.02)) {
    quietMs += BLOCK_MS
    return
  }
  if (quietMs > 300) seen.heard.push(Math.min(...starts.slice(-25)) + (starts.length - 1) * BLOCK_MS)
  quietMs = 0
}

window.AudioWorkletNode = class extends AudioWorkletNode {
  constructor(...given) {
    super(...given)
    if (given[1] === 'flashtalk-blocks')
      this.port.addEventListener('message', ({ data }) => hear(data))
  }
}

/** Reports when sound begins and ends, on the clock of the page's audio graph. */
const LISTENER = `registerProcessor('edges', class extends AudioWorkletProcessor {
  quietS = 1
  process([[samples]]) {
    const wasQuiet = this.quietS > 0.3
    this.quietS = samples?.some((x) => Math.abs(x) > 0.05) ? 0 : this.quietS + 128 / sampleRate
    if (wasQuiet && !this.quietS) this.port.postMessage(['sounded', currentTime])
    if (!wasQuiet && this.quietS > 0.3) this.port.postMessage(['silent', currentTime - this.quietS])
    return true
  }
})`

/**
 * Note when what the video plays begins and ends, as the audio graph takes it: the video waits for
 * its own way to the loudspeaker, but not for that of a graph.
 */
window.listenToVideo = async () => {
  const context = new AudioContext({ sampleRate: 48_000 })
  await context.audioWorklet.addModule(URL.createObjectURL(new Blob([LISTENER], { type: 'text/javascript' })))
  const edges = new AudioWorkletNode(context, 'edges')
  edges.port.onmessage = ({ data: [name, time] }) => {
    const { contextTime, performanceTime } = context.getOutputTimestamp()
    const wayS = context.baseLatency + context.outputLatency
    seen[name].push(performanceTime + 1000 * (time - contextTime - wayS))
  }
  const audio = context.createMediaElementSource(document.querySelector('video'))
  audio.connect(context.destination)
  audio.connect(edges).connect(context.destination)
  await context.resume()
}

/** Blocks of what the microphone hears, as the page's own worklet gives them. */
const BLOCKS = `registerProcessor('blocks', class extends AudioWorkletProcessor {
  block = []
  process([[samples]]) {
    if (samples) this.block.push(...samples)
    if (this.block.length >= 960) this.port.postMessage(this.block.splice(0, 960))
    return true
  }
})`

/** Speak into a session and watch it by one connection, in a video of its own. */
window.talkByWebRTC = async () => {
  const open = { rate: 48_000, source: 'microphone' }
  const { session } = await (await fetch('/sessions', { method: 'POST', body: JSON.stringify(open) })).json()
  const microphone = await navigator.mediaDevices.getUserMedia({ audio: true })
  const context = new AudioContext({ sampleRate: 48_000 })
  await context.audioWorklet.addModule(URL.createObjectURL(new Blob([BLOCKS], { type: 'text/javascript' })))
  const blocks = new AudioWorkletNode(context, 'blocks')
  blocks.port.onmessage = ({ data }) => hear(data)
  context.createMediaStreamSource(microphone).connect(blocks)
  const connection = new RTCPeerConnection({ iceServers: [] })
  connection.addTrack(microphone.getAudioTracks()[0], microphone)
  connection.addTransceiver('video', { direction: 'recvonly' })
  const video = document.createElement('video')
  Object.assign(video, { autoplay: true, muted: true, srcObject: new MediaStream() })
  connection.ontrack = ({ track }) => video.srcObject.addTrack(track)
  await connection.setLocalDescription(await connection.createOffer())
  await new Promise((done) => {
    connection.onicegatheringstatechange = () => connection.iceGatheringState === 'complete' && done()
    if (connection.iceGatheringState === 'complete') done()
  })
  const answer = await fetch(`/sessions/${session}/offer`, {
    method: 'POST', headers: { 'Content-Type': 'application/sdp' }, body: connection.localDescription.sdp,
  })
  if (!answer.ok) throw new Error(await answer.text())
  await connection.setRemoteDescription({ type: 'answer', sdp: await answer.text() })
  document.body.replaceChildren(video)
  window.hangUp = async () => {
    connection.close()
    await fetch(`/sessions/${session}`, { method: 'DELETE' })
  }
}

/** The lamp is 100 where it is silent, and up to 200. */
const LIT = 108

/** Note each picture of the video, when it is shown and what is played then, and those that light up. */
window.watchVideo = () => {
  const video = document.querySelector('video')
  const context = new OffscreenCanvas(8, 8).getContext('2d', { willReadFrequently: true })
  let darkMs = 0
  const look = (_, { expectedDisplayTime, mediaTime }) => {
    context.drawImage(video, 0, 0, 8, 8)
    const [bright] = context.getImageData(4, 4, 1, 1).data
    if (bright < LIT) darkMs ||= expectedDisplayTime
    else {
      // Dips between syllables are no darkness.
      if (darkMs && expectedDisplayTime - darkMs > 300) seen.lit.push(expectedDisplayTime)
      darkMs = 0
    }
    seen.frames.push([expectedDisplayTime, mediaTime, performance.now(), video.currentTime])
    video.requestVideoFrameCallback(look)
  }
  video.requestVideoFrameCallback(look)
}

window.report = () => ({ ...seen, sockets: seen.sockets.length })
