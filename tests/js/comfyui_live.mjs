// A live session in ComfyUI's own page, with a microphone that plays a file.
// `node comfyui_live.mjs URL classic|nodes2 WAV < GRAPH` prints what was seen as JSON; GRAPH is a
// prompt in API form with numbers for ids. tests/comfyui/test_live_page.py judges it.

import { readFileSync } from 'node:fs'
import { chromium } from 'playwright-core'
import { look, watch } from './browser.mjs'
import { VIDEO, openComfy, pause, queue, ready, reported, serialised } from './comfyui_page.mjs'

const NODE = 'FlashTalk_Live'
const [url, renderer, wav] = process.argv.slice(2)
const graph = JSON.parse(readFileSync(0, 'utf8'))
const status = (page) => page.locator('.flashtalk-status').first().textContent()

async function place(page) {
  await page.evaluate((type) => {
    const { app } = window
    for (const node of app.graph.nodes)
      node.pos = node.type === type ? [100, 60] : [node.pos[0] + 3000, node.pos[1] + 1500]
    app.canvas.ds.scale = 1
    app.canvas.ds.offset = [100, 50]
    app.canvas.setDirty(true, true)
  }, NODE)
  await page.waitForSelector(VIDEO)
  await pause(500)
}

/** The buttons that are to be seen, by what is on them, and whether they can be pressed. */
const buttons = (page) =>
  page.evaluate(() => {
    const all = [...document.querySelectorAll('.flashtalk-strip .flashtalk-button')]
    return all.filter((one) => one.offsetWidth).map((one) => one.textContent)
  })

async function talks(browser) {
  const page = await openComfy(browser, url, renderer, 'mse')
  await page.context().grantPermissions(['microphone'])
  await page.evaluate((graph) => window.app.loadApiJson(graph, 'test'), graph)
  await pause(500)
  await place(page)
  const workflow = await page.evaluate(() => window.app.graph.serialize())
  const idle = { status: await status(page), buttons: await buttons(page) }
  await queue(page)
  await reported(page, 'listening')
  const first = await watch(page, 0.5, VIDEO, 60_000)
  const there = await buttons(page)
  await page.click('.flashtalk-microphone')
  await page.waitForFunction(() => parseFloat(document.querySelector('.flashtalk-level-bar').style.width) > 20)
  await reported(page, 'speaking')
  const speaking = { status: await status(page), buttons: await buttons(page) }
  await page.click('.flashtalk-microphone')
  await reported(page, 'listening')
  await page.addInitScript(() => Object.defineProperty(window, 'isSecureContext', { value: false }))
  await page.reload()
  await ready(page)
  await page.evaluate((workflow) => window.app.loadGraphData(workflow), workflow)
  await place(page)
  await reported(page, 'need https or localhost')
  const back = await watch(page, 0.5, VIDEO, 60_000)
  await page.click('.flashtalk-end')
  await reported(page, 'ended')
  await page.waitForFunction((selector) => document.querySelector(selector).readyState >= 2, VIDEO)
  const end = { ...(await look(page, VIDEO)), buttons: await buttons(page) }
  const isVue = await page.evaluate(() => Boolean(document.querySelector('.lg-node .flashtalk-preview')))
  const widgets = await page.evaluate((type) =>
    window.app.graph.nodes.find((node) => node.type === type).widgets.map(({ name }) => name), NODE)
  const { pageErrors } = page
  return { idle, first, there, speaking, back, end, isVue, widgets, saved: await serialised(page), pageErrors }
}

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: [
    '--headless', '--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking',
    '--use-fake-ui-for-media-stream', '--use-fake-device-for-media-stream',
    `--use-file-for-fake-audio-capture=${wav}`, '--autoplay-policy=no-user-gesture-required',
  ],
})
try {
  process.stdout.write(JSON.stringify(await talks(browser)))
} finally {
  await browser.close()
}
