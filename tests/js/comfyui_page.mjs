// ComfyUI's page as a user drives it.

export const VIDEO = '.flashtalk-preview video'
export const pause = (ms) => new Promise((done) => setTimeout(done, ms))

/** Open ComfyUI's page in one of its renderers. */
export async function openComfy(browser, url, renderer, way) {
  // With --disable-api-nodes ComfyUI forbids blob: URLs, and the preview falls back to a plain one.
  const bypassCSP = way === 'mse'
  const context = await browser.newContext({ bypassCSP, viewport: { width: 1400, height: 900 } })
  const page = await context.newPage()
  page.pageErrors = []
  page.on('pageerror', (error) => page.pageErrors.push(String(error)))
  page.on('console', (line) => {
    if (line.type() === 'error' && /flashtalk/i.test(line.text())) page.pageErrors.push(line.text())
  })
  await enter(page, url, renderer)
  return page
}

export async function enter(page, url, renderer) {
  // Set beforehand, so that no greeting covers the page.
  const settings = { 'Comfy.TutorialCompleted': true, 'Comfy.VueNodes.Enabled': renderer === 'nodes2' }
  await fetch(`${url}/settings`, { method: 'POST', body: JSON.stringify(settings) })
  await page.goto(url)
  await ready(page)
}

export async function ready(page) {
  await page.waitForFunction(() => window.app?.graph && window.app.extensionManager?.setting)
  await page.waitForFunction(() => 'FlashTalk_StreamPreview' in window.LiteGraph.registered_node_types)
  await pause(1000)
}

/** Put the graph on the page, with the preview in view. */
export async function load(page, graph) {
  await page.evaluate(async (graph) => {
    await window.app.loadApiJson(graph, 'test')
    await new Promise((done) => setTimeout(done, 500))
  }, graph)
  await centre(page)
}

export async function centre(page) {
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

export const queue = (page) => page.evaluate(() => window.app.queuePrompt(0))
export const serialised = (page) =>
  page.evaluate(async () => {
    const { workflow, output } = await window.app.graphToPrompt()
    return JSON.stringify(workflow) + JSON.stringify(output)
  })

export function reported(page, text, timeout = 90_000) {
  return page.waitForFunction(
    (text) => [...document.querySelectorAll('.flashtalk-status')].some((line) =>
      line.textContent.includes(text)),
    text,
    { timeout },
  )
}

export const loaded = (page) =>
  page.waitForFunction((selector) => document.querySelector(selector).readyState >= 2, VIDEO)

/** The middle of the video. */
export const place = (page) =>
  page.evaluate((selector) => {
    const { x, y, width, height } = document.querySelector(selector).getBoundingClientRect()
    return { x: x + width / 2, y: y + height / 2 }
  }, VIDEO)

/** How large the preview is, and whether the page also draws a player or an image of its own. */
export const boxes = (page) =>
  page.evaluate(() => {
    const box = document.querySelector('.flashtalk-preview').getBoundingClientRect()
    const stage = document.querySelector('.flashtalk-stage').getBoundingClientRect()
    const { ds, canvas, graph } = window.app.canvas
    const node = graph.nodes.find((node) => node.type === 'FlashTalk_StreamPreview')
    const top = canvas.getBoundingClientRect().top
    return {
      width: box.width,
      height: box.height,
      picture: stage.height,
      overhang: box.bottom - (top + (node.pos[1] + node.size[1] + ds.offset[1]) * ds.scale),
      videos: document.querySelectorAll('video').length,
      isVue: Boolean(document.querySelector('.lg-node .flashtalk-preview')),
      widgets: window.app.graph.nodes
        .find((node) => node.type === 'FlashTalk_StreamPreview')
        .widgets.map(({ name }) => name),
    }
  })
