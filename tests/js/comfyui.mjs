// What a user does with the preview in ComfyUI's own page, and what is seen then.
// `node comfyui.mjs NAME URL classic|nodes2 mse|plain < GRAPH` prints it as JSON; GRAPH is a prompt
// in API form with numbers for ids. tests/comfyui/test_preview_page.py judges it.

import { readFileSync } from 'node:fs'
import { listen, look, watch, withBrowser } from './browser.mjs'
import { scenarios as ofNode } from './comfyui_node.mjs'
import {
  VIDEO, boxes, centre, enter, load, loaded, openComfy, pause, queue, ready, serialised, reported,
} from './comfyui_page.mjs'

const scenarios = {
  /** From queueing to the file, and once more from ComfyUI's cache on a page that knows nothing. */
  async plays(browser, url, renderer, graph) {
    const page = await openComfy(browser, url, renderer, way)
    await load(page, graph)
    const idle = await boxes(page)
    const from = Date.now()
    await queue(page)
    await page.waitForFunction((selector) => document.querySelector(selector).readyState >= 2, VIDEO, {
      timeout: 90_000,
    })
    const firstPictureS = (Date.now() - from) / 1000
    const first = await watch(page, 0.2, VIDEO, 60_000)
    const later = await watch(page, 0.5, VIDEO, 60_000)
    await reported(page, 'finished')
    await loaded(page)
    const end = await look(page, VIDEO)
    const saved = await serialised(page)
    const after = await boxes(page)
    await page.evaluate(() => localStorage.clear())
    await page.reload()
    await ready(page)
    await load(page, graph)
    const fresh = await look(page, VIDEO)
    await queue(page)
    await page.waitForFunction(
      (selector) => document.querySelector(selector).readyState >= 2, VIDEO, { timeout: 30_000 })
    const cached = await look(page, VIDEO)
    const { pageErrors } = page
    return { idle, firstPictureS, first, later, end, saved, after, fresh, cached, pageErrors }
  },

  /** Another workflow and back, a second tab, and a reload: all in mid-run. */
  async survives(browser, url, renderer, graph) {
    const page = await openComfy(browser, url, renderer, way)
    await load(page, graph)
    // From a prompt in API form, which has no id: the preview gives it one.
    const workflow = await page.evaluate(() => window.app.graph.serialize())
    await queue(page)
    const before = await watch(page, 0.3, VIDEO, 60_000)
    await page.click('.flashtalk-sound')
    const sound = await listen(page, 15, VIDEO)
    await page.evaluate(() => window.app.loadGraphData({ nodes: [], links: [], version: 0.4 }))
    await pause(500)
    const elsewhere = await page.locator(VIDEO).count()
    await page.evaluate((workflow) => window.app.loadGraphData(workflow), workflow)
    await centre(page)
    const back = await watch(page, 0.3, VIDEO, 60_000)
    const tab = await page.context().newPage()
    tab.pageErrors = []
    await enter(tab, url, renderer)
    await tab.evaluate((workflow) => window.app.loadGraphData(workflow), workflow)
    await centre(tab)
    const second = await watch(tab, 0.3, VIDEO, 60_000)
    await page.reload()
    await ready(page)
    await page.evaluate((workflow) => window.app.loadGraphData(workflow), workflow)
    await centre(page)
    const reloaded = await watch(page, 0.3, VIDEO, 60_000)
    await page.evaluate(() => window.app.api.interrupt(null))
    await reported(page, 'interrupted')
    await reported(tab, 'interrupted')
    const end = await look(page, VIDEO)
    const pageErrors = [...page.pageErrors, ...tab.pageErrors]
    return { id: workflow.id, before, sound, elsewhere, back, second, reloaded, end, pageErrors }
  },

  /** A browser without H.264: ComfyUI's own preview images take over, in the same node. */
  async showsPictures(browser, url, renderer, graph) {
    const page = await openComfy(browser, url, renderer, way)
    await page.evaluate(() => {
      window.MediaSource.isTypeSupported = () => false
      window.images = 0
      window.app.api.addEventListener('b_preview_with_metadata', () => window.images++)
    })
    // A plain source is asked for as media; fetch() stays as it is.
    await page.route('**/flashtalk/stream/**', (route) =>
      route.request().resourceType() === 'media' ? route.abort() : route.continue())
    await load(page, graph)
    await queue(page)
    await reported(page, 'images only')
    const shown = await page.waitForFunction((isVue) => {
      const node = window.app.graph.nodes.find((node) => node.type === 'FlashTalk_StreamPreview')
      const element = document.querySelector('.flashtalk-preview').closest('.lg-node')
      const images = isVue ? [...element.querySelectorAll('img')] : node.imgs
      const image = images?.find((image) => image.naturalWidth > 0)
      return image && { width: image.naturalWidth, isHidden: Boolean(node.hideOutputImages) }
    }, renderer === 'nodes2', { timeout: 60_000 })
    const seen = await shown.jsonValue()
    await page.evaluate(() => window.app.api.interrupt(null))
    await reported(page, 'interrupted')
    const sent = await page.evaluate(() => window.images)
    return { ...seen, sent, end: await look(page, VIDEO), pageErrors: page.pageErrors }
  },

  /** Two previews in one graph, of which the second one fails. */
  async showsTwoNodes(browser, url, renderer, graph) {
    const page = await openComfy(browser, url, renderer, way)
    await load(page, graph)
    await queue(page)
    await reported(page, 'failed')
    const lines = await page.locator('.flashtalk-status').allTextContents()
    const sources = await page.locator(VIDEO).evaluateAll((all) => all.map((video) => video.currentSrc))
    return { lines, sources, pageErrors: page.pageErrors }
  },
}

const [name, url, renderer, way] = process.argv.slice(2)
const graph = JSON.parse(readFileSync(0, 'utf8'))
const play = { ...scenarios, ...ofNode }[name]
const found = await withBrowser((browser) => play(browser, url, renderer, graph, way))
process.stdout.write(JSON.stringify(found))
