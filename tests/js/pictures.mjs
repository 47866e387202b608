// Pictures of the preview at work in ComfyUI's page, for docs/PREVIEW.md.
// `node pictures.mjs URL classic|nodes2 FOLDER < GRAPH`; see comfyui.mjs for GRAPH.

import { readFileSync } from 'node:fs'
import { load, openComfy, queue, told } from './comfyui_page.mjs'
import { watch, withBrowser } from './browser.mjs'

const [url, renderer, folder] = process.argv.slice(2)
const graph = JSON.parse(readFileSync(0, 'utf8'))

await withBrowser(async (browser) => {
  const page = await openComfy(browser, url, renderer, 'mse')
  await load(page, graph)
  let number = 0
  const take = async () => {
    const box = await page.locator('.flashtalk-preview').boundingBox()
    const clip = { x: box.x - 12, y: box.y - 165, width: box.width + 24, height: box.height + 180 }
    const path = `${folder}/${renderer}_${number++}.png`
    await page.screenshot({ path, clip })
  }
  await queue(page)
  await told(page, 'chunk 1/')
  await watch(page, 0.6, '.flashtalk-preview video', 90_000)
  await take()
  await page.click('.flashtalk-sound')
  await told(page, 'chunk 3/')
  await watch(page, 0.4, '.flashtalk-preview video', 90_000)
  await take()
  await told(page, 'finished')
  await page.waitForTimeout(700)
  await take()
})
