// The first minute of a new user on ComfyUI's own page: the template browser, a card, Run.
// `node templates.mjs SCENARIO URL classic|nodes2 LANGUAGE FOLDER` prints what was seen as JSON;
// FOLDER is that of the pack. tests/comfyui/test_templates_page.py judges it.

import { readdirSync } from 'node:fs'
import { withBrowser } from './browser.mjs'
import { pause, ready, reported } from './comfyui_page.mjs'

const CARD = '[data-testid^="template-workflow-"]'
const SIZE = { width: 1600, height: 900 }
const WORKFLOWS = new URL('../../workflows/', import.meta.url)
const NUM_CARDS = readdirSync(WORKFLOWS).filter((name) => name.endsWith('.json')).length

const scenarios = {
  /** What the browser of templates shows of the pack. */
  async browses(page) {
    await browse(page)
    const cards = await page.locator(CARD).evaluateAll((cards) =>
      cards.map((card) => ({
        name: card.dataset.testid.replace('template-workflow-', ''),
        text: card.innerText,
        imagePx: card.querySelector('img')?.naturalWidth ?? 0,
      })))
    return { cards }
  },

  /** The first card, and Run; a chunk of the speech does. */
  async runs(page) {
    await browse(page)
    await choose(page, 0)
    const { nodes, faulty, scale } = await marks(page)
    const errors = await page.getByText('errors found').count()
    await set(page, 'FlashTalk_AudioEncode', 'duration', 1.12)
    await set(page, 'FlashTalk_ChunkSampler', 'seed', renderer === 'classic' ? 1 : 2)
    await page.evaluate(() => window.app.queuePrompt(0))
    await reported(page, 'finished', 240_000)
    return { nodes, faulty, errors, scale }
  },

  /** Template 2 on a machine that has none of its files. */
  async misses(page) {
    await browse(page)
    await choose(page, 1)
    const details = page.getByText('View details').first()
    const hasPanel = await details.waitFor({ timeout: 60_000 }).then(() => true, () => false)
    if (!hasPanel) return { panel: null } // pages before 1.49 list no missing models
    await details.click()
    await pause(2000)
    return { ...(await marks(page)), panel: await page.evaluate(() => document.body.innerText) }
  },

  /** Entries of menus, as they are shown and as they are saved. */
  async translates(page) {
    await browse(page)
    await choose(page, 0)
    return page.evaluate(() => {
      const loader = window.app.graph.nodes.find(({ type }) => type === 'FlashTalk_ModelLoader')
      const { options, value } = loader.widgets.find(({ name }) => name === 'model')
      return { shown: options.getOptionLabel?.(value) ?? value, value }
    })
  },
}

/** Open a card, in a window of the usual size. */
async function choose(page, number) {
  await page.setViewportSize(SIZE)
  await page.locator(CARD).nth(number).click()
  await opened(page)
}

async function browse(page) {
  await page.evaluate(() => window.app.extensionManager.command.execute('Comfy.BrowseTemplates'))
  const entry = page.getByText(folder, { exact: true }).first()
  await entry.scrollIntoViewIfNeeded()
  await entry.click()
  await page.setViewportSize({ width: SIZE.width, height: 1400 }) // only cards in view have images
  await page.waitForFunction(([selector, count]) => {
    const images = [...document.querySelectorAll(`${selector} img`)]
    return images.length === count && images.every((image) => image.complete)
  }, [CARD, NUM_CARDS])
}

const set = (page, type, name, value) =>
  page.evaluate(([type, name, value]) => {
    const node = window.app.graph.nodes.find((node) => node.type === type)
    node.widgets.find((widget) => widget.name === name).value = value
  }, [type, name, value])

async function opened(page) {
  await page.waitForFunction(() =>
    window.app.graph.nodes.some(({ type }) => type === 'FlashTalk_StreamPreview'))
  await pause(4000) // the page looks for missing files
}

const marks = (page) =>
  page.evaluate(() => ({
    nodes: window.app.graph.nodes.length,
    faulty: window.app.graph.nodes.filter((node) => node.has_errors).map(({ type }) => type),
    scale: window.app.canvas.ds.scale,
  }))

const [scenario, url, renderer, language, folder] = process.argv.slice(2)
const settings = {
  'Comfy.TutorialCompleted': true,
  'Comfy.VueNodes.Enabled': renderer === 'nodes2',
  'Comfy.Locale': language,
}
const seen = await withBrowser(async (browser) => {
  await fetch(`${url}/settings`, { method: 'POST', body: JSON.stringify(settings) })
  const page = await browser.newPage({ viewport: SIZE })
  const pageErrors = []
  page.on('pageerror', (error) => pageErrors.push(String(error)))
  page.on('console', (line) => {
    const text = `${line.text()} ${line.location().url}`
    if (line.type() === 'error' && /flashtalk/i.test(text) && !/huggingface/.test(text)) pageErrors.push(text)
  })
  await page.goto(url)
  await ready(page)
  return { ...(await scenarios[scenario](page)), pageErrors }
})
process.stdout.write(`${JSON.stringify(seen)}\n`)
