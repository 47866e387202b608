// Takes screenshots of workflows as the page draws them; needs a running ComfyUI and Chromium.
// Usage: node tools/screenshot.mjs --out DIR [--nodes2] [--run] [--png] [--scale 0.6] NAME ...

import { readFile, mkdir } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { withBrowser } from '../tests/js/browser.mjs'

const ROOT = new URL('../', import.meta.url)
const MARGIN = 30

const { values: options, positionals: names } = parseArgs({
  allowPositionals: true,
  options: {
    url: { type: 'string', default: 'http://127.0.0.1:8188' },
    out: { type: 'string', default: '.' },
    nodes2: { type: 'boolean', default: false }, // Nodes 2.0; else the classic renderer
    run: { type: 'boolean', default: false }, // render two seconds of it first
    png: { type: 'boolean', default: false },
    notes: { type: 'boolean', default: false }, // the notes next to the groups, too
    scale: { type: 'string', default: '0.6' },
    quality: { type: 'string', default: '70' },
  },
})

async function openPage(page) {
  await page.goto(options.url)
  await page.waitForFunction(() => window.app?.graph && window.app.extensionManager?.setting)
  await page.waitForTimeout(1500)
}

/** Leave nothing on the page but the graph; returns what undoes the settings. */
async function changeSettings(page) {
  const wanted = {
    'Comfy.VueNodes.Enabled': options.nodes2,
    'Comfy.Minimap.Visible': false,
    'Comfy.Graph.CanvasInfo': false,
    'Comfy.Graph.CanvasMenu': false,
    'Comfy.TutorialCompleted': true,
    'LiteGraph.Canvas.LowQualityRenderingZoomThreshold': 0.1,
    'LiteGraph.Canvas.MinFontSizeForLOD': 0,
  }
  const before = await page.evaluate(async (wanted) => {
    const { setting } = window.app.extensionManager
    const before = {}
    for (const [key, value] of Object.entries(wanted)) {
      before[key] = setting.get(key)
      await setting.set(key, value)
    }
    return before
  }, wanted)
  return () =>
    page.evaluate(async (before) => {
      const { setting } = window.app.extensionManager
      for (const [key, value] of Object.entries(before)) await setting.set(key, value)
    }, before)
}

/** Load a workflow; throws if the page misses a node or marks one as wrong. */
async function loadWorkflow(page, name) {
  const workflow = JSON.parse(await readFile(new URL(`workflows/${name}.json`, ROOT), 'utf8'))
  const errors = await page.evaluate(async (workflow) => {
    await window.app.loadGraphData(workflow)
    await new Promise((done) => setTimeout(done, 2000))
    const registered = window.LiteGraph.registered_node_types
    return window.app.graph.nodes
      .filter((node) => node.has_errors || !(node.type in registered))
      .map((node) => node.type)
  }, workflow)
  if (errors.length) throw new Error(`${name}: the page marks ${errors.join(', ')}`)
}

/** Render two seconds and wait for the end. */
async function runWorkflow(page) {
  await page.evaluate(async () => {
    const { app } = window
    const speech = app.graph.nodes.find((node) => node.type === 'FlashTalk_AudioEncode')
    speech.widgets.find((widget) => widget.name === 'duration').value = 2
    const end = new Promise((done, fail) => {
      app.api.addEventListener('execution_success', done)
      app.api.addEventListener('execution_error', ({ detail }) =>
        fail(new Error(`${detail.node_type}: ${detail.exception_message}`)),
      )
    })
    if (!(await app.queuePrompt(0))) throw new Error('the server refused the workflow')
    await end
  })
  await page.waitForTimeout(4000) // the players load the finished file
}

/** Make the page as large as the graph needs, and put the graph into it. */
async function frameGraph(page) {
  const scale = Number(options.scale)
  const bounds = await page.evaluate((notes) => {
    const { graph } = window.app
    const boxes = (notes ? [...graph.groups, ...graph.nodes] : graph.groups).map((item) => [
      item.pos[0],
      item.pos[1] - 40,
      item.pos[0] + item.size[0],
      item.pos[1] + item.size[1],
    ])
    const side = (index, pick) => pick(...boxes.map((box) => box[index]))
    return [side(0, Math.min), side(1, Math.min), side(2, Math.max), side(3, Math.max)]
  }, options.notes)
  const [left, top] = [bounds[0] - MARGIN, bounds[1] - MARGIN]
  const width = Math.ceil((bounds[2] + MARGIN - left) * scale)
  const height = Math.ceil((bounds[3] + MARGIN - top) * scale)
  await page.setViewportSize({ width, height })
  await page.waitForTimeout(500)
  await page.evaluate(
    ({ scale, left, top }) => {
      const { canvas } = window.app
      canvas.ds.scale = scale
      canvas.ds.offset = [-left, -top]
      canvas.setDirty(true, true)
    },
    { scale, left, top },
  )
  await page.waitForTimeout(2000)
}

async function takePicture(page, name) {
  await page.setViewportSize({ width: 1900, height: 1050 })
  if (options.run) {
    await loadWorkflow(page, name)
    await runWorkflow(page)
  }
  // Once more, from ComfyUI's cache: a page keeps the last preview in place of the video.
  await openPage(page)
  await page.evaluate(() =>
    window.app.extensionManager.command.execute('Workspace.ToggleFocusMode'),
  )
  await loadWorkflow(page, name)
  // Before the run: of a player not wholly in sight then, Chromium paints half the controls.
  await frameGraph(page)
  if (options.run) await runWorkflow(page)
  const path = `${options.out}/${name}.${options.png ? 'png' : 'jpg'}`
  const kind = options.png ? { type: 'png' } : { type: 'jpeg', quality: Number(options.quality) }
  await page.screenshot({ path, ...kind })
}

await mkdir(options.out, { recursive: true })
await withBrowser(async (browser) => {
  const page = await browser.newPage({ viewport: { width: 1900, height: 1050 } })
  await openPage(page)
  const undo = await changeSettings(page)
  try {
    for (const name of names) await takePicture(page, name)
  } finally {
    await undo()
  }
})
