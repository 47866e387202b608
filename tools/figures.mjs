// Figures of the preview on the stage. `node tools/figures.mjs first|long|file URL [seconds]` prints
// JSON; URL is what `python tests/js/stage.py` prints.

import { openStage, start, withBrowser } from '../tests/js/browser.mjs'

const pause = (ms) => new Promise((done) => setTimeout(done, ms))
const message = async (url, session) => (await fetch(`${url}/message?session=${session}`)).json()
const MEASURED_S = 12
const REPEATS = 10

/** Milliseconds from the first encoded bytes to the first frame on a page that waits for it. */
async function measureFirst(browser, url) {
  const waits = []
  for (let i = 0; i < REPEATS; i++) {
    const page = await openStage(browser, url)
    const { session } = await start(url, { seconds: 4, size: '448x416' })
    const shown = await page.evaluate((session) => {
      window.watch(session)
      return new Promise((done) =>
        document.querySelector('video').requestVideoFrameCallback((now) =>
          done(performance.timeOrigin + now)))
    }, session)
    waits.push(shown - 1000 * (await message(url, session)).first_bytes_s)
    await page.close()
  }
  return waits
}

/** Runs in the page's audio graph: reports when a beep begins, on the graph's clock. */
const LISTENER = `registerProcessor('beeps', class extends AudioWorkletProcessor {
  process([[samples]]) {
    const at = samples?.findIndex((x) => Math.abs(x) > 0.2) ?? -1
    if (at >= 0 && this.isQuiet) this.port.postMessage((currentFrame + at) / sampleRate)
    this.isQuiet = at < 0 // a sine passes zero; all of 128 samples are quiet in silence only
    return true
  }
})`

/**
 * When each second's flash is shown and its beep played; their distance in milliseconds, positive
 * if the video is late. The beep is timed as it leaves the page's audio graph.
 */
function measureOffsets(page, seconds) {
  return page.evaluate(async ([seconds, LISTENER]) => {
    const video = document.querySelector('video')
    const context = (window.audio ??= new AudioContext())
    await context.resume()
    if (!window.listener) {
      const code = URL.createObjectURL(new Blob([LISTENER], { type: 'text/javascript' }))
      await context.audioWorklet.addModule(code)
      window.listener = new AudioWorkletNode(context, 'beeps')
      const audio = context.createMediaElementSource(video)
      audio.connect(window.listener)
      audio.connect(context.destination)
    }
    const [beeps, flashes] = [[], []]
    window.listener.port.onmessage = ({ data }) => {
      const { contextTime, performanceTime } = context.getOutputTimestamp()
      beeps.push(performanceTime + 1000 * (data - contextTime))
    }
    const canvas = document.createElement('canvas')
    canvas.width = canvas.height = 8
    const drawing = canvas.getContext('2d', { willReadFrequently: true })
    let [isBright, isOn] = [true, true]
    const onFrame = (_, frame) => {
      drawing.drawImage(video, 0, 0, 8, 8)
      const pixels = drawing.getImageData(0, 0, 8, 8).data
      const bright = pixels.reduce((sum, x) => sum + x, 0) / pixels.length > 190
      if (bright && !isBright) flashes.push(frame.expectedDisplayTime)
      isBright = bright
      if (isOn) video.requestVideoFrameCallback(onFrame)
    }
    video.requestVideoFrameCallback(onFrame)
    await new Promise((done) => setTimeout(done, seconds * 1000))
    isOn = false
    return flashes
      .map((flash) => beeps.map((beep) => flash - beep).sort((a, b) => Math.abs(a) - Math.abs(b))[0])
      .filter((offset) => Math.abs(offset) < 400)
  }, [seconds, LISTENER])
}

const heap = (page) =>
  page.evaluate(() => {
    window.gc()
    return performance.memory.usedJSHeapSize
  })

/**
 * Offset of video and audio, heap and buffer over a long show at the speed of watching; before and
 * after it the offset in a file whose tracks are exact, which is what the method itself is off by.
 */
async function measureLong(browser, url, seconds) {
  const fileBefore = await measureFile(browser, url)
  const page = await openStage(browser, url)
  const { session } = await start(url, { seconds })
  await page.evaluate((session) => window.watch(session), session)
  await page.waitForFunction(() => document.querySelector('video').currentTime > 2)
  await page.click('.flashtalk-sound')
  const atStart = await measureOffsets(page, MEASURED_S)
  const heapStart = await heap(page)
  let [mostBuffered, mostHeap] = [0, 0]
  const until = Date.now() + (seconds - 2 * MEASURED_S - 20) * 1000
  while (Date.now() < until) {
    await pause(10_000)
    const buffered = await page.evaluate(() => {
      const { buffered } = document.querySelector('video')
      let sum = 0
      for (let i = 0; i < buffered.length; i++) sum += buffered.end(i) - buffered.start(i)
      return sum
    })
    mostBuffered = Math.max(mostBuffered, buffered)
    mostHeap = Math.max(mostHeap, (await heap(page)) - heapStart)
  }
  const atEnd = await measureOffsets(page, MEASURED_S)
  const end = await page.evaluate(() => {
    const video = document.querySelector('video')
    const { totalVideoFrames, droppedVideoFrames } = video.getVideoPlaybackQuality()
    return { time: video.currentTime, totalVideoFrames, droppedVideoFrames }
  })
  const heapGrowth = (await heap(page)) - heapStart
  await page.close()
  const fileAfter = await measureFile(browser, url)
  const offsets = { fileBefore, atStart, atEnd, fileAfter }
  return { ...offsets, heapGrowth, mostHeap, mostBuffered, ...end, pageErrors: page.pageErrors }
}

/** Offsets in a finished file, played the same way. */
async function measureFile(browser, url) {
  const page = await openStage(browser, url)
  const { session } = await start(url, { seconds: 30, speed: 20 })
  await page.evaluate((session) => window.watch(session), session)
  await page.waitForFunction(() => document.querySelector('video').currentSrc.includes('/view'))
  await page.waitForFunction(() => document.querySelector('video').currentTime > 2)
  await page.click('.flashtalk-sound')
  const offsets = await measureOffsets(page, MEASURED_S)
  await page.close()
  return offsets
}

const [what, url, seconds = '630'] = process.argv.slice(2)
const measures = { first: measureFirst, long: measureLong, file: measureFile }
const found = await withBrowser((browser) => measures[what](browser, url, Number(seconds)))
process.stdout.write(JSON.stringify(found) + '\n')
