// The preview's node as a user handles it: size, mouse, menu, names, takes, words, failures, tabs.
// Scenarios of comfyui.mjs.

import { look, watch } from './browser.mjs'
import {
  VIDEO, boxes, centre, enter, load, loaded, openComfy, pause, place, queue, ready, reported,
} from './comfyui_page.mjs'

const status = (page) => page.locator('.flashtalk-status').first().textContent()
const setting = (page, name, value) =>
  page.evaluate(([name, value]) => window.app.extensionManager.setting.set(name, value), [name, value])
const menu = (page) =>
  page.evaluate(() => {
    const node = window.app.graph.nodes.find((node) => node.type === 'FlashTalk_StreamPreview')
    const options = window.app.canvas.getNodeMenuOptions(node).filter(Boolean)
    return options.map(({ content }) => content)
  })
const choose = (page, content) =>
  page.evaluate((content) => {
    const node = window.app.graph.nodes.find((node) => node.type === 'FlashTalk_StreamPreview')
    const options = window.app.canvas.getNodeMenuOptions(node)
    options.find((option) => option?.content === content).callback()
  }, content)
const setInput = (page, type, name, value) =>
  page.evaluate(([type, name, value]) => {
    const node = window.app.graph.nodes.find((node) => node.type === type)
    node.widgets.find((widget) => widget.name === name).value = value
  }, [type, name, value])
/** What the panel at the right lists of the preview's node, and which page it is. */
async function openPanel(page) {
  await page.evaluate(() => {
    const { canvas, graph } = window.app
    canvas.selectNode(graph.nodes.find((node) => node.type === 'FlashTalk_StreamPreview'))
  })
  const panel = page.getByTestId('properties-panel')
  // The server keeps for all pages whether it is open.
  if (!(await panel.isVisible()))
    await page.getByRole('button', { name: 'Toggle properties panel' }).first().click()
  await panel.waitFor()
  await pause(500)
  const version = await page.evaluate(() => window.__COMFYUI_FRONTEND_VERSION__)
  return [await panel.innerText(), version]
}
/** Name the preview on the subgraph node: the one inside is in the page, too. */
async function markHost(page) {
  await page.waitForFunction(() => {
    const node = window.app.graph.nodes.find((node) => node.subgraph)
    const widget = node?.widgets.find(({ name }) => name === 'flashtalk_preview')
    if (widget?.element?.isConnected) widget.element.id = 'host'
    return widget?.element?.isConnected
  })
  return '#host video'
}
const isPlayable = () => document.querySelector('.flashtalk-preview video').readyState >= 2

export const scenarios = {
  /** Its size before, during and after a run, and when the video first moves. */
  async keepsItsSize(browser, url, renderer, graph, way) {
    const page = await openComfy(browser, url, renderer, way)
    await load(page, graph)
    const fresh = await page.evaluate(() => [...window.LiteGraph.createNode('FlashTalk_StreamPreview').size])
    await page.evaluate(() => {
      window.heard = []
      window.app.api.addEventListener('flashtalk.stream', ({ detail }) => window.heard.push(detail))
    })
    const before = await boxes(page)
    await queue(page)
    await page.waitForFunction((selector) => document.querySelector(selector).currentTime > 0, VIDEO, {
      timeout: 90_000,
    })
    const frames = await page.evaluate(() => window.heard.at(-1).frames)
    const during = await boxes(page)
    await reported(page, 'finished')
    await loaded(page)
    await pause(500)
    return { fresh, before, during, after: await boxes(page), frames, pageErrors: page.pageErrors }
  },

  /** The wheel, the right button and a drag, with the pointer on the player. */
  async passesTheMouse(browser, url, renderer, graph, way) {
    const page = await openComfy(browser, url, renderer, way)
    await load(page, graph)
    const { x, y } = await place(page)
    const state = () =>
      page.evaluate(() => {
        const { ds, graph } = window.app.canvas
        const node = graph.nodes.find((node) => node.type === 'FlashTalk_StreamPreview')
        return { scale: ds.scale, offset: [...ds.offset], pos: [...node.pos] }
      })
    const idle = await state()
    await page.mouse.move(x, y)
    await page.mouse.wheel(0, -240)
    await pause(500)
    const zoomed = await state()
    await centre(page)
    const held = await state()
    await page.mouse.move(x, y)
    await page.mouse.down()
    await page.mouse.move(x + 60, y + 40, { steps: 8 })
    await page.mouse.up()
    await pause(300)
    const dragged = await state()
    await centre(page)
    await page.mouse.click(x, y, { button: 'right' })
    await pause(500)
    const items = await page.evaluate(() => document.body.innerText)
    await page.keyboard.press('Escape')
    const [panel, version] = await openPanel(page)
    return { idle, zoomed, held, dragged, items, panel, version, pageErrors: page.pageErrors }
  },

  /** Two takes, looped, gone back to, and what the menu offers for them. */
  async keepsTakes(browser, url, renderer, graph, way) {
    const page = await openComfy(browser, url, renderer, way)
    await load(page, graph)
    await queue(page)
    await reported(page, '_00001_')
    await setInput(page, 'FlashTalk_ChunkSampler', 'seed', 4242)
    await queue(page)
    await reported(page, '_00002_')
    await loaded(page)
    const last = { ...(await look(page, VIDEO)), loops: await page.locator(VIDEO).evaluate((v) => v.loop) }
    const offered = await menu(page)
    await choose(page, 'Play video once')
    await pause(500)
    const once = await page.locator(VIDEO).evaluate((video) => video.loop)
    await choose(page, 'Loop video')
    await page.hover('.flashtalk-preview')
    const count = await page.locator('.flashtalk-count').textContent()
    await page.click('.flashtalk-previous')
    await page.waitForFunction(isPlayable)
    const first = await look(page, VIDEO)
    const workflow = await page.evaluate(() => window.app.graph.serialize())
    await page.reload()
    await ready(page)
    await page.evaluate((workflow) => window.app.loadGraphData(workflow), workflow)
    await centre(page)
    await page.waitForFunction(isPlayable)
    const reloaded = await page.locator('.flashtalk-count').textContent()
    await choose(page, 'Hide preview')
    await pause(300)
    const hidden = await page.locator(VIDEO).isVisible()
    return { last, offered, once, count, first, reloaded, hidden, pageErrors: page.pageErrors }
  },

  /** A prompt that ComfyUI refuses, a node before the preview that fails, then one that succeeds. */
  async tellsFailures(browser, url, renderer, graph, way) {
    const page = await openComfy(browser, url, renderer, way)
    await load(page, graph)
    const idle = await status(page)
    await page.evaluate(() => {
      window.lines = []
      const line = document.querySelector('.flashtalk-status')
      new MutationObserver(() => window.lines.push(line.textContent)).observe(line, {
        childList: true, subtree: true, characterData: true,
      })
    })
    await queue(page)
    await reported(page, 'failed')
    const failed = await status(page)
    const kind = await page.locator('.flashtalk-preview').getAttribute('data-kind')
    const lines = await page.evaluate(() => window.lines)
    await setInput(page, 'LoadImage', 'image', 'not there.png')
    await page.evaluate(() => (window.lines.length = 0))
    await queue(page).catch(() => {})
    await reported(page, 'not there.png')
    const refused = await status(page)
    await setting(page, 'Comfy.Locale', 'zh')
    await pause(500)
    const translated = await status(page)
    await setting(page, 'Comfy.Locale', 'en')
    return { idle, failed, kind, lines, refused, translated, pageErrors: page.pageErrors }
  },

  /** The tab is closed in mid-run, and again after the end; others of the same browser go on. */
  async survivesAClosedTab(browser, url, renderer, graph, way) {
    const page = await openComfy(browser, url, renderer, way)
    await load(page, graph)
    const workflow = await page.evaluate(() => window.app.graph.serialize())
    const reopen = async (old) => {
      const tab = await page.context().newPage()
      await old.close()
      await enter(tab, url, renderer)
      await tab.evaluate((workflow) => window.app.loadGraphData(workflow), workflow)
      await centre(tab)
      return tab
    }
    await queue(page)
    await watch(page, 0.1, VIDEO, 90_000)
    const second = await reopen(page)
    await second.waitForFunction(isPlayable, null, { timeout: 30_000 })
    const live = await look(second, VIDEO)
    await reported(second, 'finished')
    const third = await reopen(second)
    await third.waitForFunction(isPlayable, null, { timeout: 30_000 })
    return { live, end: await look(third, VIDEO) }
  },

  /** Dates and values of other nodes in the file's name. */
  async fillsInNames(browser, url, renderer, graph, way) {
    const page = await openComfy(browser, url, renderer, way)
    await load(page, graph)
    await queue(page)
    await reported(page, 'finished')
    await loaded(page)
    return { src: (await look(page, VIDEO)).src, year: new Date().getFullYear(), pageErrors: page.pageErrors }
  },

  /** The whole chain within a subgraph: seen from outside, with the name from inside. */
  async showsASubgraph(browser, url, renderer, graph, way) {
    const page = await openComfy(browser, url, renderer, way)
    await load(page, graph)
    const widgets = await page.evaluate(async () => {
      const { graph, canvas } = window.app
      const { node } = graph.convertToSubgraph(new Set(graph.nodes))
      window.host = node
      await new Promise((done) => setTimeout(done, 500))
      node.pos = [100, 100]
      canvas.ds.offset = [100, 50]
      canvas.setDirty(true, true)
      return node.widgets.map(({ name }) => name)
    })
    const host = await markHost(page)
    await queue(page)
    const live = await watch(page, 0.1, host, 90_000)
    await reported(page, 'finished')
    await page.waitForFunction((host) => document.querySelector(host).readyState >= 2, host)
    const end = await look(page, host)
    const isVisible = await page.locator(host).isVisible()
    const workflow = await page.evaluate(() => window.app.graph.serialize())
    await page.reload()
    await ready(page)
    await page.evaluate((workflow) => window.app.loadGraphData(workflow), workflow)
    await markHost(page)
    await page.waitForFunction((host) => document.querySelector(host).readyState >= 2, host)
    const again = await look(page, host)
    const saved = JSON.stringify(workflow)
    return { widgets, live, end, isVisible, again, saved, pageErrors: page.pageErrors }
  },

  /** The blueprint out of the node library, given an image and audio. */
  async usesTheBlueprint(browser, url, renderer, graph, way) {
    const page = await openComfy(browser, url, renderer, way)
    const name = await page.evaluate(async () => {
      const { api, graph } = window.app
      const blueprints = Object.entries(await (await api.fetchApi('/global_subgraphs')).json())
      const [id, { info }] = blueprints.find(([, { name }]) => name === 'Talking head')
      const found = await (await api.fetchApi(`/global_subgraphs/${id}`)).json()
      await window.app.loadGraphData(JSON.parse(found.data))
      const host = window.app.graph.nodes.find((node) => node.subgraph)
      for (const [type, name, file] of [
        ['LoadImage', 'image', 'portrait.png'], ['LoadAudio', 'audio', 'speech.wav'],
      ]) {
        const node = window.LiteGraph.createNode(type)
        window.app.graph.add(node)
        node.pos = [900, type === 'LoadImage' ? 0 : 500]
        node.widgets.find((widget) => widget.name === name).value = file
        node.connect(0, host, host.inputs.findIndex((input) => input.name === name))
      }
      window.app.canvas.ds.offset = [100, 80]
      return info.node_pack
    })
    const host = await markHost(page)
    await queue(page)
    const live = await watch(page, 0.1, host, 90_000)
    await reported(page, 'finished')
    const isVisible = await page.locator(host).isVisible()
    const inputs = await page.evaluate(() =>
      window.app.graph.nodes.find((node) => node.subgraph).inputs.map(({ name }) => name))
    return { name, live, inputs, isVisible, pageErrors: page.pageErrors }
  },
}
