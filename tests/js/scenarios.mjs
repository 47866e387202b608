// What a viewer does on the stage, and what is seen then; tests/js/test_player.py judges it. A show
// is made faster than real time where that is not the subject; it is longer than it is watched, so
// that a slow machine changes nothing.

import { listen, look, openStage, start, watch } from './browser.mjs'

const pause = (ms) => new Promise((done) => setTimeout(done, ms))
const follow = (page, session) => page.evaluate((session) => window.watch(session), session)
const message = async (url, session) => (await fetch(`${url}/message?session=${session}`)).json()

/** Wait until so much has been made; returns the seconds made. */
async function untilMade(url, session, seconds) {
  for (;;) {
    const made = (await message(url, session)).frames / 25
    if (made >= seconds) return made
    await pause(100)
  }
}

/** Wait until no viewer loads any more; returns the last message. */
async function untilHeld(url, session) {
  for (;;) {
    const reported = await message(url, session)
    if (!reported.viewers || reported.state !== 'live') return reported
    await pause(100)
  }
}

/** Wait for a status line that holds `text`. */
function reported(page, text, timeout = 30_000) {
  const isShown = (text) => document.querySelector('.flashtalk-status').textContent.includes(text)
  return page.waitForFunction(isShown, text, { timeout })
}

async function openShow(browser, url, options, query = '') {
  const page = await openStage(browser, url, query)
  const { session } = await start(url, options)
  await follow(page, session)
  return { page, session }
}

export const scenarios = {
  /** From the first frame to the file. */
  async plays(browser, url) {
    const { page } = await openShow(browser, url, { seconds: 8 })
    const first = await watch(page, 0.5)
    const later = await watch(page, 1)
    await page.click('.flashtalk-sound')
    const sound = await listen(page, 4)
    await reported(page, 'finished')
    await page.waitForFunction(() => document.querySelector('video').readyState >= 2)
    const end = await look(page)
    const duration = await page.evaluate(() => document.querySelector('video').duration)
    return { first, later, sound, end, duration, pageErrors: page.pageErrors }
  },

  async joinsLate(browser, url) {
    const { session } = await start(url, { seconds: 90, speed: 3 })
    const newest = await untilMade(url, session, 6)
    const page = await openStage(browser, url, `session=${session}`)
    const first = await watch(page, 0.5)
    const later = await watch(page, 1)
    const last = (await message(url, session)).frames / 25
    return { newest, last, first, later, pageErrors: page.pageErrors }
  },

  /** A third of real time: plays for a second at a time; where the browser itself ran dry is noted. */
  async waits(browser, url) {
    const page = await openStage(browser, url)
    await page.evaluate(() => {
      const video = document.querySelector('video')
      window.runs = []
      video.addEventListener('play', () => window.runs.push([video.currentTime, null]))
      video.addEventListener('pause', () => (window.runs.at(-1)[1] = video.currentTime))
      window.dry = []
      video.addEventListener('waiting', () => window.dry.push(video.currentTime))
    })
    const { session } = await start(url, { seconds: 7, speed: 0.35 })
    await follow(page, session)
    await watch(page, 4.5, 'video', 30_000)
    const { status } = await look(page)
    return { ...(await page.evaluate(() => ({ runs: window.runs, dry: window.dry }))), status }
  },

  /** A slow render: how much of it was made, and how much buffered, when the video first moves. */
  async startsEarly(browser, url) {
    const page = await openStage(browser, url)
    const { session } = await start(url, { seconds: 7, speed: 0.3 })
    await follow(page, session)
    await page.waitForFunction(() => document.querySelector('video').currentTime > 0)
    return { frames: (await message(url, session)).frames, ahead: (await look(page)).ranges }
  },

  /** Eight times real time: watched at 1.0, a bounded part of it in the page. */
  async keepsPace(browser, url) {
    const { page, session } = await openShow(browser, url, { seconds: 160, speed: 8 })
    const first = await watch(page, 0.5)
    const held = await untilHeld(url, session)
    await pause(500)
    const later = await look(page)
    // Of the page's own clock: what asks it may be slow.
    const rate = (later.time - first.time) / (later.at - first.at)
    await page.evaluate(() => (document.querySelector('video').playbackRate = 6))
    const trimmed = await watch(page, 20)
    await page.evaluate(() => (document.querySelector('video').playbackRate = 1))
    await page.hover('.flashtalk-preview')
    await page.getByText('Live', { exact: true }).click()
    await pause(2500)
    const live = await look(page)
    const newest = (await message(url, session)).frames / 25
    // Where the file goes on; at its end it soon starts again.
    await page.evaluate(() => {
      const video = document.querySelector('video')
      video.addEventListener('seeking', () => {
        if (video.src.includes('/view?')) window.resumed ??= video.currentTime
      })
    })
    await reported(page, 'finished', 40_000)
    const resumed = await (await page.waitForFunction(() => window.resumed)).jsonValue()
    const { mode } = await look(page)
    return { rate, later, viewers: held.viewers, trimmed, live, newest, resumed, mode }
  },

  /** Two tabs, one of them with two nodes. */
  async isSharedByTabs(browser, url) {
    const { page, session } = await openShow(browser, url, { seconds: 60, speed: 2 })
    const other = await openStage(browser, url, `session=${session}`)
    await other.evaluate(async (session) => {
      const { PreviewView } = await import('/js/lib/view.js')
      const second = new PreviewView((path) => path)
      second.root.id = 'second'
      document.body.append(second.root)
      second.show(await (await fetch(`/message?session=${session}`)).json())
    }, session)
    const [first, second, third] = await Promise.all([
      watch(page, 1),
      watch(other, 1),
      watch(other, 1, '#second video'),
    ])
    return { first, second, third, viewers: (await message(url, session)).viewers }
  },

  async survivesReloads(browser, url) {
    const { session } = await start(url, { seconds: 25 })
    await pause(2000)
    const page = await browser.newPage()
    page.pageErrors = []
    page.on('pageerror', (error) => page.pageErrors.push(String(error)))
    for (let i = 0; i < 20; i++) {
      await page.goto(`${url}/?session=${session}`, { waitUntil: 'commit' })
      await pause(100)
    }
    const end = await watch(page, 1)
    await pause(500)
    const { viewers, dropped } = await message(url, session)
    return { end, viewers, dropped, pageErrors: page.pageErrors }
  },

  /** The page's policy allows no blob: URL. */
  async fallsBackToPlain(browser, url) {
    const { page } = await openShow(browser, url, { seconds: 14, speed: 2 }, 'policy=1')
    const first = await watch(page, 0.5)
    const later = await watch(page, 1)
    await reported(page, 'finished')
    await page.waitForFunction(() => document.querySelector('video').readyState >= 2)
    return { first, later, end: await look(page) }
  },

  /** A browser without H.264. */
  async fallsBackToPictures(browser, url) {
    const page = await openStage(browser, url)
    await page.evaluate(() => { window.MediaSource.isTypeSupported = () => false })
    // A plain source is asked for as media; fetch() stays as it is.
    await page.route('**/flashtalk/stream/**', (route) =>
      route.request().resourceType() === 'media' ? route.abort() : route.continue())
    const { session } = await start(url, { seconds: 20 })
    await follow(page, session)
    await reported(page, 'images only')
    await pause(300)
    return { end: await look(page), viewers: (await message(url, session)).viewers }
  },

  /** Safari's kind of media source, as far as a page sees it: an iPhone has no other. */
  async playsByAManagedSource(browser, url) {
    const page = await openStage(browser, url)
    await page.evaluate(() => {
      const { MediaSource } = window
      delete window.MediaSource
      window.ManagedMediaSource = class extends MediaSource {
        constructor() {
          super()
          this.streaming = true
          window.managed = this
        }
      }
    })
    const { session } = await start(url, { seconds: 60, speed: 4 })
    await follow(page, session)
    const first = await watch(page, 0.5)
    const tell = (name) => page.evaluate((name) => {
      window.managed.streaming = name === 'startstreaming'
      window.managed.dispatchEvent(new Event(name))
    }, name)
    const counted = async (count) => {
      for (let i = 0; i < 50; i++) {
        if ((await message(url, session)).viewers === count) return true
        await pause(100)
      }
      return false
    }
    await tell('endstreaming')
    const stopped = await counted(0)
    await tell('startstreaming')
    const wentOn = await counted(1)
    const later = await watch(page, 4)
    const isLocal = await page.evaluate(() => document.querySelector('video').disableRemotePlayback)
    return { first, stopped, wentOn, later, isLocal, pageErrors: page.pageErrors }
  },

  async asksForAnUnknownSession(browser, url) {
    const page = await openStage(browser, url)
    const { session } = await start(url, { seconds: 1 })
    const real = await message(url, session)
    await page.evaluate((real) => window.view.show({ ...real, session: '../../x' }), real)
    await reported(page, 'restarted')
    return { end: await look(page), pageErrors: page.pageErrors }
  },

  /** The server was started again in mid-run: it knows nothing, but the growing file is there. */
  async noticesARestart(browser, url) {
    const page = await openStage(browser, url)
    const { session } = await start(url, { seconds: 4, speed: 4, stop_at: 84 })
    await untilMade(url, session, 84 / 25)
    await pause(500)
    const real = await message(url, session)
    const lost = { ...real, session: 'of-a-server-that-is-gone', state: 'live', partial: real.file, file: null }
    await page.evaluate((lost) => window.view.show(lost), lost)
    await reported(page, 'restarted')
    await page.waitForFunction(() => document.querySelector('video').readyState >= 2)
    return { end: await look(page), name: real.file.filename, pageErrors: page.pageErrors }
  },

  /** The message of the end is lost, as with a reload or a broken socket. */
  async asksForTheEnd(browser, url) {
    const page = await openStage(browser, url)
    const { session } = await start(url, { seconds: 6, speed: 2 })
    const live = await message(url, session)
    await page.evaluate((live) => window.view.show(live), live)
    await watch(page, 1)
    await reported(page, 'finished')
    return { end: await look(page), pageErrors: page.pageErrors }
  },

  /** Files that a user deletes. */
  async seesThatAFileIsGone(browser, url) {
    const page = await openStage(browser, url)
    const { session } = await start(url, { seconds: 1 })
    const real = await message(url, session)
    const file = { filename: 'gone.mp4', subfolder: '', type: 'output' }
    await page.evaluate((message) => window.view.show(message), { ...real, state: 'finished', file })
    await reported(page, 'the file is gone')
    return { end: await look(page), pageErrors: page.pageErrors }
  },

  /** A subgraph that is placed twice, one within another, and a node that is nowhere. */
  async namesNodes(browser, url) {
    const page = await openStage(browser, url)
    return page.evaluate(async () => {
      const { executionIds, innerIds } = await import('/js/lib/execution_ids.js')
      const { isAbout } = await import('/js/lib/memory.js')
      const inner = { nodes: [] }
      const node = { id: 3, graph: inner, comfyClass: 'Preview' }
      inner.nodes.push(node)
      const outer = { nodes: [{ id: 7, subgraph: inner }] }
      const root = { nodes: [{ id: 1, subgraph: inner }, { id: 2, subgraph: outer }, { id: 3 }] }
      for (const host of root.nodes) host.graph = root
      const ids = executionIds(root, node)
      const about = (node, workflow = null) => isAbout({ node, workflow }, 'w', ids)
      const host = innerIds(root, root.nodes[1], 'Preview')
      const answers = [about('2:7:3'), about('3'), about('2:7:3', 'w'), about('2:7:3', 'of others')]
      return { ids, host, answers, none: executionIds(root, { id: 3 }) }
    })
  },

  async outlivesTheServer(browser, url) {
    const { page } = await openShow(browser, url, { seconds: 30 })
    await watch(page, 1)
    await fetch(`${url}/die`).catch(() => {})
    await reported(page, 'connection lost')
    await pause(500)
    return { end: await look(page), pageErrors: page.pageErrors }
  },

  async showsWhatAnInterruptedRunLeft(browser, url) {
    const { page } = await openShow(browser, url, { seconds: 30, stop_at: 84 })
    await watch(page, 1)
    await reported(page, 'interrupted')
    await page.waitForFunction(() => document.querySelector('video').readyState >= 2)
    const duration = await page.evaluate(() => document.querySelector('video').duration)
    return { end: await look(page), duration }
  },

  /** Renderers take the element out and put it elsewhere. */
  async survivesBeingMoved(browser, url) {
    const { page } = await openShow(browser, url, { seconds: 20 })
    await watch(page, 0.5)
    await page.evaluate(async () => {
      const { root } = window.view
      const place = document.createElement('div')
      place.style.height = '340px'
      document.body.append(place)
      place.replaceChildren(root)
      await new Promise((done) => setTimeout(done, 300))
      root.remove()
      await new Promise((done) => setTimeout(done, 500))
      place.append(root)
    })
    return { end: await watch(page, 1), pageErrors: page.pageErrors }
  },

  /** A browser that holds six seconds. */
  async livesWithinItsQuota(browser, url) {
    const page = await openStage(browser, url)
    await page.evaluate(() => {
      const { appendBuffer } = SourceBuffer.prototype
      window.refused = 0
      SourceBuffer.prototype.appendBuffer = function (bytes) {
        const { buffered } = this
        if (buffered.length && buffered.end(buffered.length - 1) - buffered.start(0) > 6) {
          window.refused++
          throw new DOMException('full', 'QuotaExceededError')
        }
        return appendBuffer.call(this, bytes)
      }
    })
    const { session } = await start(url, { seconds: 60, speed: 4 })
    await follow(page, session)
    await watch(page, 0.5)
    await page.evaluate(() => (document.querySelector('video').playbackRate = 2))
    const end = await watch(page, 10, 'video', 30_000)
    return { end, refused: await page.evaluate(() => window.refused), pageErrors: page.pageErrors }
  },

  /** Play and pause, and nothing shown when there is nothing. */
  async obeysItsButtons(browser, url) {
    const idlePage = await openStage(browser, url)
    const idle = await look(idlePage)
    await idlePage.close()
    const { page } = await openShow(browser, url, { seconds: 20 })
    await watch(page, 0.5)
    await page.hover('.flashtalk-preview')
    await page.getByText('Pause', { exact: true }).click()
    const stopped = await look(page)
    await pause(1200)
    const still = await look(page)
    await page.getByText('Play', { exact: true }).click()
    const again = await watch(page, 0.5)
    await page.getByText('Full screen').click()
    const full = await page.evaluate(() => document.fullscreenElement === window.view.root)
    return { idle, stopped, still, again, full }
  },
}
