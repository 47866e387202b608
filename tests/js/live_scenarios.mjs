// What a user does on the live page, and what is seen then; tests/js/test_live_page.py judges it.

const pause = (ms) => new Promise((done) => setTimeout(done, ms))
const MEASURES = new URL('live_measures.js', import.meta.url).pathname

async function openPage(browser, options = {}) {
  const page = await browser.newPage({ viewport: { width: 900, height: 760 }, ...options })
  page.pageErrors = []
  page.on('pageerror', (error) => page.pageErrors.push(String(error)))
  await page.addInitScript({ path: MEASURES })
  return page
}

/** Begin a session, and wait until its video moves. */
async function begin(page, url) {
  if (url) await page.goto(url)
  await page.click('#start')
  await page.waitForFunction(() => document.querySelector('video').currentTime > 0.5)
  await page.evaluate(() => window.watchVideo())
}

const report = (page) => page.evaluate(() => window.report())
const stateIs = (page, state) => page.waitForSelector(`#state[data-state=${state}]`)
const textOf = (page, id) => page.locator(`#${id}`).textContent()
const stats = async (url, token = '') =>
  (await fetch(`${url}/stats`, { headers: { Authorization: `Bearer ${token}` } })).json()
/** Wait until so many messages of a kind came. */
const got = (page, type, count = 1) =>
  page.waitForFunction(
    ([type, count]) => window.seen.got.filter((message) => message.type === type).length >= count,
    [type, count],
  )

/** The microphone, open and then held. */
async function repeatsWhatIsSaid(browser, url) {
  const page = await openPage(browser)
  await begin(page, url)
  await page.waitForFunction(() => window.seen.lit.length >= 4)
  const open = await report(page)
  const latency = await textOf(page, 'latency')
  const muted = await page.evaluate(() => document.querySelector('video').muted)
  await page.click('input[value=push]')
  await page.evaluate(() => document.activeElement.blur())
  const count = () => page.evaluate(() => window.seen.numSound)
  const before = await count()
  await pause(2100)
  const loose = await count()
  await page.keyboard.down('Space')
  await pause(600)
  const pressed = await page.getAttribute('#push', 'aria-pressed')
  await page.keyboard.up('Space')
  const held = await count()
  await pause(400)
  const released = await count()
  const { sent } = await report(page)
  await page.click('#end')
  await stateIs(page, 'off')
  const counts = { before, loose, held, released }
  return { open, latency, muted, counts, pressed, sent, pageErrors: page.pageErrors }
}

/** One connection of WebRTC for both ways, from an empty page of the same server. */
async function isRepeatedByWebRTC(browser, url) {
  const page = await openPage(browser, { bypassCSP: true }) // no page of ours asks for WebRTC
  await page.goto(`${url}/stats`) // of the same origin, without scripts
  await page.evaluate(() => window.talkByWebRTC())
  await page.waitForFunction(() => document.querySelector('video').currentTime > 0.5)
  await page.evaluate(() => window.watchVideo())
  await page.waitForFunction(() => window.seen.lit.length >= 8)
  const seen = await report(page)
  await page.evaluate(() => window.hangUp())
  return { ...seen, pageErrors: page.pageErrors }
}

/** A file that is interrupted by the button, and once more by a voice. */
async function isInterrupted(browser, url, file) {
  const page = await openPage(browser, { bypassCSP: true }) // what measures is no file
  await page.goto(url)
  await page.click('input[value=off]')
  await page.click('input[value=talk]')
  await begin(page)
  await page.evaluate(() => window.listenToVideo())
  await page.setInputFiles('#file', file)
  await page.waitForFunction(() => window.seen.sounded.length === 4)
  await pause(400)
  await page.click('#interrupt')
  await page.waitForFunction(() => window.seen.silent.length === 4)
  const byButton = await report(page)
  const [{ clear_max_ms: clearMs }] = (await stats(url)).per_session
  const latency = await textOf(page, 'latency')
  await stateIs(page, 'idle')
  await page.setInputFiles('#file', file)
  await stateIs(page, 'speaking')
  await page.click('input[value=open]')
  await got(page, 'played', 2)
  const byVoice = await report(page)
  await page.click('#end')
  await stateIs(page, 'off')
  return { byButton, byVoice, clearMs, latency, pageErrors: page.pageErrors }
}

/** A file of minutes; what lights up is heard as well. */
async function staysInStep(browser, url, file, seconds) {
  const page = await openPage(browser, { bypassCSP: true }) // what measures is no file
  await page.goto(url)
  await page.click('input[value=off]')
  await page.click('input[value=talk]')
  await begin(page)
  await page.evaluate(() => window.listenToVideo())
  await page.setInputFiles('#file', file)
  await pause(1000 * seconds + 3000)
  const seen = await report(page)
  await page.click('#end')
  await stateIs(page, 'off')
  return { ...seen, pageErrors: page.pageErrors }
}

/** A token, a connection that breaks, and the end. */
async function comesBack(browser, url, token) {
  const page = await openPage(browser)
  await page.goto(url)
  const asked = await page.locator('#token-form').isVisible()
  await page.click('#start')
  await page.waitForSelector('#token-form:not([hidden])')
  const refused = await textOf(page, 'note')
  await page.fill('#token', 'another')
  await page.click('#token-form button')
  await page.waitForFunction(() => window.seen.sockets.length === 2)
  await page.waitForSelector('#token-form:not([hidden])')
  await page.fill('#token', token)
  await page.click('#token-form button')
  await page.waitForFunction(() => document.querySelector('video').currentTime > 0.3)
  await page.evaluate(() => window.seen.sockets.at(-1).close())
  await stateIs(page, 'lost')
  await stateIs(page, 'idle')
  const time = await page.evaluate(() => document.querySelector('video').currentTime)
  await page.waitForFunction((time) => document.querySelector('video').currentTime > time + 0.5, time)
  const open = await stats(url, token)
  await page.click('#end')
  await stateIs(page, 'off')
  const closed = await stats(url, token)
  return { asked, refused, ...(await report(page)), open, closed, pageErrors: page.pageErrors }
}

/** A page on http that is not localhost, on a telephone, in the dark. */
async function worksWithoutAMicrophone(browser, url, file) {
  const page = await openPage(browser, {
    viewport: { width: 375, height: 700 }, colorScheme: 'dark',
  })
  await page.addInitScript(() =>
    Object.defineProperty(Navigator.prototype, 'mediaDevices', { get: () => undefined }))
  await begin(page, url)
  const why = await textOf(page, 'no-microphone')
  await page.setInputFiles('#file', { name: 'a.txt', mimeType: 'text/plain', buffer: Buffer.from('a') })
  await page.waitForSelector('#note:not([hidden])')
  const unreadable = await textOf(page, 'note')
  await page.setInputFiles('#file', file)
  await stateIs(page, 'speaking')
  const looks = await page.evaluate(() => {
    const named = [...document.querySelectorAll('button, input, select, [role=meter], video')]
    const nameOf = (element) =>
      element.getAttribute('aria-label') || element.labels?.[0]?.textContent || element.textContent
    return {
      width: document.scrollingElement.scrollWidth,
      ground: getComputedStyle(document.body).backgroundColor,
      nameless: named.filter((element) => !nameOf(element)?.trim()).map((element) => element.id),
      disabled: [...document.querySelectorAll('input[name=input]')].every((one) => one.disabled),
    }
  })
  await page.click('#end')
  return { why, unreadable, ...looks, pageErrors: page.pageErrors }
}

export const scenarios = {
  repeatsWhatIsSaid, isRepeatedByWebRTC, isInterrupted, staysInStep, comesBack, worksWithoutAMicrophone,
}
