// How long a user waits: from queueing workflow 1 to the first frame in its preview.
// `node tools/first_picture.mjs URL` drives a running ComfyUI and prints JSON; the first wait of a fresh
// ComfyUI includes loading the model.

import { readFile } from 'node:fs/promises'
import { withBrowser } from '../tests/js/browser.mjs'
import { VIDEO, load, openComfy, pause, reported } from '../tests/js/comfyui_page.mjs'

const ROOT = new URL('../', import.meta.url)
const REPEATS = 6
const WORKFLOW = 'workflows/api/1_first_talking_head.json'

/** Seconds from queueing a new seed to the first frame; the run is stopped then. */
async function measureWait(page, seed) {
  const waited = await page.evaluate(async ([selector, seed]) => {
    const sampler = window.app.graph.nodes.find((node) => node.type === 'FlashTalk_ChunkSampler')
    sampler.widgets.find((widget) => widget.name === 'seed').value = seed
    const video = document.querySelector(selector)
    const from = performance.now()
    const shown = new Promise((done) => {
      const isNew = (now) =>
        video.currentSrc.startsWith('blob:') ? done(now) : video.requestVideoFrameCallback(isNew)
      video.requestVideoFrameCallback(isNew)
    })
    await window.app.queuePrompt(0)
    return (await shown) - from
  }, [VIDEO, seed])
  await page.evaluate(() => window.app.api.interrupt(null))
  await reported(page, 'interrupted')
  await pause(1000)
  return waited / 1000
}

const [url = 'http://127.0.0.1:8188'] = process.argv.slice(2)
const graph = JSON.parse(await readFile(new URL(WORKFLOW, ROOT), 'utf8'))
const waits = await withBrowser(async (browser) => {
  const page = await openComfy(browser, url, 'classic', 'mse')
  await load(page, graph)
  const waits = []
  // Never a seed of an earlier call: ComfyUI would answer from its cache.
  for (let i = 0; i < REPEATS; i++) waits.push(await measureWait(page, (Date.now() % 1e9) + i))
  return waits
})
process.stdout.write(JSON.stringify({ first: waits[0], next: waits.slice(1) }) + '\n')
