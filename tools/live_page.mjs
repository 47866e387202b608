// Takes a screenshot of the page of `python -m flashtalk_core serve` while the avatar speaks.
// Usage: node tools/live_page.mjs URL OUT.png SOUND.wav

import { withBrowser } from '../tests/js/browser.mjs'

const [url, out, sound] = process.argv.slice(2)

await withBrowser(async (browser) => {
  const page = await browser.newPage({ viewport: { width: 900, height: 700 } })
  await page.goto(url)
  await page.click('#start')
  await page.waitForFunction(() => document.querySelector('video').currentTime > 1)
  await page.setInputFiles('#file', sound)
  await page.waitForSelector('#state[data-state=speaking]')
  // What this machine takes is not the subject.
  await page.evaluate(() => { document.getElementById('latency').textContent = '-' })
  await page.screenshot({ path: out })
}, sound)
