// The preview at work in ComfyUI's page, as images named by the milliseconds they were taken at.
// `node tools/recording.mjs URL classic|nodes2 FOLDER [steps]` renders some seconds of workflow 1 in a
// running ComfyUI; recording.py makes an animation of them. On a machine with few cores start
// ComfyUI with OMP_NUM_THREADS=1, so that the browser has one of them.

import { readFile } from 'node:fs/promises'
import { watch, withBrowser } from '../tests/js/browser.mjs'
import { VIDEO, centre, load, openComfy, queue, reported } from '../tests/js/comfyui_page.mjs'
import { record } from './screenshots.mjs'

const ROOT = new URL('../', import.meta.url)
const WORKFLOW = 'workflows/api/1_first_talking_head.json'
const SPEECH_S = 4.5

const [url, renderer, folder, steps = '4'] = process.argv.slice(2)
const graph = JSON.parse(await readFile(new URL(WORKFLOW, ROOT), 'utf8'))
for (const { class_type, inputs } of Object.values(graph)) {
  if (class_type === 'FlashTalk_AudioEncode') inputs.duration = SPEECH_S
  if (class_type === 'FlashTalk_ChunkSampler')
    Object.assign(inputs, { steps: Number(steps), seed: Date.now() % 1e9 })
}
await withBrowser(async (browser) => {
  const page = await openComfy(browser, url, renderer, 'mse')
  await load(page, graph)
  // Once more as a saved workflow: Nodes 2.0 empties the fields of one from its API twin as soon as
  // a run writes a line below a node.
  await page.evaluate(() => window.app.loadGraphData(window.app.graph.serialize()))
  await centre(page)
  await page.evaluate(() =>
    window.app.extensionManager.setting.set('Comfy.Minimap.Visible', false))
  await page.setViewportSize({ width: 1000, height: 760 }) // a browser without a GPU draws slowly
  const box = await page.locator('.flashtalk-preview').boundingBox()
  const frame = { x: box.x - 12, y: box.y - 155, width: box.width + 24, height: box.height + 165 }
  await record(page, frame, folder, async () => {
    await queue(page)
    await watch(page, 1.5, VIDEO, 90_000)
    await page.click('.flashtalk-sound')
    await reported(page, 'finished')
    await page.waitForTimeout(2500)
  })
})
