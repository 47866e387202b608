// What a user does with the preview in ComfyUI's own page, and what is seen then.
// `node comfyui.mjs NAME URL classic|nodes2 mse|plain < GRAPH` prints it as JSON; GRAPH is a prompt in API
// form with numbers for ids. tests/comfyui/test_preview_page.py judges it.

import { readFileSync } from 'node:fs'
import { listen, look, watch, withBrowser } from './browser.mjs'

const VIDEO = '.flashtalk-preview video'
const pause = (ms) => new Promise((done) => setTimeout(done, ms))

/** Open ComfyUI's page in one of its renderers. */
async function openComfy(browser, url, renderer) {
  // With --disable-api-nodes ComfyUI forbids blob: URLs, and the preview falls back to a plain one.
  const bypassCSP = way === 'mse'
  const context = await browser.newContext({ bypassCSP, viewport: { width: 1400, height: 900 } })
  const page = await context.newPage()
  page.faults = []
  page.on('pageerror', (error) => page.faults.push(String(error)))
  page.on('console', (line) => {
    if (line.type() === 'error' && /flashtalk/i.test(line.text())) page.faults.push(line.text())
  })
  await enter(page, url, renderer)
  return page
}

async function enter(page, url, renderer) {
  // Told beforehand, so that no greeting covers the page.
  const settings = { 'Comfy.TutorialCompleted': true, 'Comfy.VueNodes.Enabled': renderer === 'nodes2' }
  await fetch(`${url}/settings`, { method: 'POST', body: JSON.stringify(settings) })
  await page.goto(url)
  await ready(page)
}

async function ready(page) {
  await page.waitForFunction(() => window.app?.graph && window.app.extensionManager?.setting)
  await page.waitForFunction(() => 'FlashTalk_StreamPreview' in window.LiteGraph.registered_node_types)
  await pause(1000)
}

/** Put the graph on the page, with the preview in view. */
async function load(page, graph) {
  await page.evaluate(async (graph) => {
    await window.app.loadApiJson(graph, 'test')
    await new Promise((done) => setTimeout(done, 500))
  }, graph)
  await centre(page)
}

async function centre(page) {
  await page.evaluate(async () => {
    const { app } = window
    const nodes = app.graph.nodes.filter((node) => node.type === 'FlashTalk_StreamPreview')
    nodes.forEach((node, i) => (node.pos = [100 + 450 * i, 100]))
    for (const node of app.graph.nodes)
      if (!nodes.includes(node)) node.pos = [node.pos[0] + 3000, node.pos[1] + 1500]
    app.canvas.ds.scale = 1
    app.canvas.ds.offset = [100, 50]
    app.canvas.setDirty(true, true)
  })
  await page.waitForSelector(VIDEO)
  await pause(500)
}

const queue = (page) => page.evaluate(() => window.app.queuePrompt(0))
const serialised = (page) =>
  page.evaluate(async () => {
    const { workflow, output } = await window.app.graphToPrompt()
    return JSON.stringify(workflow) + JSON.stringify(output)
  })

function told(page, text, timeout = 90_000) {
  return page.waitForFunction(
    (text) => [...document.querySelectorAll('.flashtalk-status')].some((line) =>
      line.textContent.includes(text)),
    text,
    { timeout },
  )
}

const loaded = (page) =>
  page.waitForFunction((selector) => document.querySelector(selector).readyState >= 2, VIDEO)

/** How large the preview is, and whether the page also draws a player or a picture of its own. */
const boxes = (page) =>
  page.evaluate(() => {
    const { width, height } = document.querySelector('.flashtalk-preview').getBoundingClientRect()
    return {
      width,
      height,
      videos: document.querySelectorAll('video').length,
      isVue: Boolean(document.querySelector('.lg-node .flashtalk-preview')),
      widgets: window.app.graph.nodes
        .find((node) => node.type === 'FlashTalk_StreamPreview')
        .widgets.map(({ name }) => name),
    }
  })

const scenarios = {
  /** From queueing to the file, and once more from ComfyUI's cache on a page that knows nothing. */
  async plays(browser, url, renderer, graph) {
    const page = await openComfy(browser, url, renderer)
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
    await told(page, 'finished')
    await loaded(page)
    const end = await look(page, VIDEO)
    const saved = await serialised(page)
    const after = await boxes(page)
    await page.evaluate(() => sessionStorage.clear())
    await page.reload()
    await ready(page)
    await load(page, graph)
    const fresh = await look(page, VIDEO)
    await queue(page)
    await page.waitForFunction(
      (selector) => document.querySelector(selector).readyState >= 2, VIDEO, { timeout: 30_000 })
    const cached = await look(page, VIDEO)
    const { faults } = page
    return { idle, firstPictureS, first, later, end, saved, after, fresh, cached, faults }
  },

  /** Another workflow and back, a second tab, and a reload: all in mid-run. */
  async survives(browser, url, renderer, graph) {
    const page = await openComfy(browser, url, renderer)
    await load(page, graph)
    const workflow = await page.evaluate(() => window.app.graph.serialize())
    await page.evaluate((workflow) => window.app.loadGraphData(workflow), workflow)
    await centre(page)
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
    const tab = await openComfy(browser, url, renderer)
    await tab.evaluate((workflow) => window.app.loadGraphData(workflow), workflow)
    await centre(tab)
    const second = await watch(tab, 0.3, VIDEO, 60_000)
    await page.reload()
    await ready(page)
    await page.evaluate((workflow) => window.app.loadGraphData(workflow), workflow)
    await centre(page)
    const reloaded = await watch(page, 0.3, VIDEO, 60_000)
    await page.evaluate(() => window.app.api.interrupt(null))
    await told(page, 'interrupted')
    await told(tab, 'interrupted')
    const end = await look(page, VIDEO)
    const faults = [...page.faults, ...tab.faults]
    return { before, sound, elsewhere, back, second, reloaded, end, faults }
  },

  /** Two previews in one graph, of which the second one fails. */
  async showsTwoNodes(browser, url, renderer, graph) {
    const page = await openComfy(browser, url, renderer)
    await load(page, graph)
    await queue(page)
    await told(page, 'failed')
    const lines = await page.locator('.flashtalk-status').allTextContents()
    const sources = await page.locator(VIDEO).evaluateAll((all) => all.map((video) => video.currentSrc))
    return { lines, sources, faults: page.faults }
  },
}

const [name, url, renderer, way] = process.argv.slice(2)
const graph = JSON.parse(readFileSync(0, 'utf8'))
const found = await withBrowser((browser) => scenarios[name](browser, url, renderer, graph))
process.stdout.write(JSON.stringify(found))
