// Plays scenarios in one Chromium: reads their names and arguments, a JSON array a line, and answers
// each with a line, {seen} or {error}. Its argument is what the microphone hears, a WAV file.
// tests/js/conftest.py drives it.

import { createInterface } from 'node:readline'

import { withBrowser } from './browser.mjs'
import { scenarios as ofLivePage } from './live_scenarios.mjs'
import { showPictures } from './pictures.mjs'
import { scenarios as ofPlayer } from './scenarios.mjs'

const scenarios = { ...ofPlayer, ...ofLivePage, showPictures }

async function play(browser, [name, ...given]) {
  try {
    return { seen: await scenarios[name](browser, ...given) }
  } catch (error) {
    return { error: error.stack }
  } finally {
    // Pages come with a context each, so that nothing of them stays for the next scenario.
    await Promise.all(browser.contexts().map((context) => context.close()))
  }
}

await withBrowser(async (browser) => {
  for await (const line of createInterface({ input: process.stdin }))
    process.stdout.write(`${JSON.stringify(await play(browser, JSON.parse(line)))}\n`)
}, process.argv[2])
