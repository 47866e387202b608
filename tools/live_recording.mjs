// The page of `python -m flashtalk_core serve` while somebody speaks, is silent, and interrupts, as
// images for recording.py; the microphone hears nothing.
// Usage: node tools/live_recording.mjs URL FOLDER SHORT.wav LONG.wav SILENCE.wav

import { withBrowser } from '../tests/js/browser.mjs'
import { record } from './screenshots.mjs'

const [url, folder, short, long, silence] = process.argv.slice(2)
const IDLE_MS = 2000
const UNTIL_INTERRUPT_MS = 2500

await withBrowser(async (browser) => {
  const page = await browser.newPage({ viewport: { width: 640, height: 760 } })
  await page.goto(url)
  await page.click('#start')
  await page.waitForFunction(() => document.querySelector('video').currentTime > 1)
  const says = (state) => page.waitForSelector(`#state[data-state=${state}]`, { timeout: 60_000 })
  const box = await page.locator('main, body').first().boundingBox()
  const clip = { x: box.x, y: box.y, width: box.width, height: Math.min(box.height, 760) }
  await record(page, clip, folder, async () => {
    await page.waitForTimeout(IDLE_MS)
    await page.setInputFiles('#file', short)
    await says('speaking')
    await says('idle')
    await page.waitForTimeout(IDLE_MS)
    await page.setInputFiles('#file', long)
    await says('speaking')
    await page.waitForTimeout(UNTIL_INTERRUPT_MS)
    await page.click('#interrupt')
    await says('idle')
    await page.waitForTimeout(IDLE_MS)
  })
}, silence)
