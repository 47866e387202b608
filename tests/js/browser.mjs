// Chromium with a page, and what can be measured on a video element in it.

import { chromium } from 'playwright-core'

const ARGS = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync',
  '--js-flags=--expose-gc', '--enable-precise-memory-info',
]
/** A microphone that plays a file again and again, and nobody who is asked for it. */
const MICROPHONE = [
  '--use-fake-ui-for-media-stream', '--use-fake-device-for-media-stream',
]
const HEARD = '--use-file-for-fake-audio-capture='

/** Run `use(browser)` and close the browser whatever happens; `sound` is what its microphone hears. */
export async function withBrowser(use, sound = '') {
  const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium'
  const args = sound ? [...ARGS, ...MICROPHONE, HEARD + sound] : ARGS
  const browser = await chromium.launch({ executablePath, args })
  try {
    return await use(browser)
  } finally {
    await browser.close()
  }
}

/** Open the stage; `pageErrors` gathers what the page logs as an error. */
export async function openStage(browser, url, query = '') {
  const page = await browser.newPage({ viewport: { width: 420, height: 360 } })
  page.pageErrors = []
  page.on('pageerror', (error) => page.pageErrors.push(String(error)))
  await page.goto(`${url}/?${query}`)
  await page.waitForFunction(() => window.isReady)
  return page
}

/** Start a video on the stage; returns its first message. */
export async function start(url, options) {
  return (await fetch(`${url}/start?${new URLSearchParams(options)}`)).json()
}

/** What the video shows now: clock, decoded and dropped frames, mean and spread of the pixels. */
export function look(page, selector = 'video') {
  return page.evaluate((selector) => {
    const video = document.querySelector(selector)
    const canvas = document.createElement('canvas')
    const [width, height] = [(canvas.width = 80), (canvas.height = 48)]
    const context = canvas.getContext('2d')
    context.drawImage(video, 0, 0, width, height)
    const pixels = context.getImageData(0, 0, width, height).data.filter((_, i) => i % 4 < 3)
    const mean = pixels.reduce((sum, value) => sum + value, 0) / pixels.length
    const spread = Math.sqrt(
      pixels.reduce((sum, value) => sum + (value - mean) ** 2, 0) / pixels.length,
    )
    const quality = video.getVideoPlaybackQuality()
    return {
      time: video.currentTime,
      at: performance.now() / 1000,
      paused: video.paused,
      muted: video.muted,
      width: video.videoWidth,
      decoded: quality.totalVideoFrames,
      dropped: quality.droppedVideoFrames,
      mean,
      spread,
      ranges: Array.from({ length: video.buffered.length }, (_, i) => [
        video.buffered.start(i),
        video.buffered.end(i),
      ]),
      src: video.currentSrc,
      status: document.querySelector('.flashtalk-status')?.textContent,
      mode: document.querySelector('.flashtalk-preview')?.dataset.mode,
    }
  }, selector)
}

/** Wait until the clock of the video has moved by some seconds. */
export async function watch(page, seconds, selector = 'video', timeout = 20_000) {
  const from = (await look(page, selector)).time
  await page.waitForFunction(
    ([selector, to]) => document.querySelector(selector).currentTime >= to,
    [selector, from + seconds],
    { timeout },
  )
  return look(page, selector)
}

/** Largest energy of the audio, until it is audible or some seconds are over. */
export function listen(page, seconds, selector = 'video') {
  return page.evaluate(
    async ([seconds, selector]) => {
      const video = document.querySelector(selector)
      const context = new AudioContext()
      await context.resume()
      const analyser = context.createAnalyser()
      context.createMediaStreamSource(video.captureStream()).connect(analyser)
      const samples = new Float32Array(analyser.fftSize)
      const end = performance.now() + seconds * 1000
      let peak = 0
      while (performance.now() < end && (peak < 0.05 || video.muted)) {
        await new Promise((done) => setTimeout(done, 20))
        analyser.getFloatTimeDomainData(samples)
        const energy = samples.reduce((sum, x) => sum + x * x, 0) / samples.length
        peak = Math.max(peak, Math.sqrt(energy))
      }
      await context.close()
      return { peak, muted: video.muted }
    },
    [seconds, selector],
  )
}
