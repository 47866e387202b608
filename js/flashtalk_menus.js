/** The menus of the pack's nodes in the page's language. */

import { app } from '../../scripts/app.js'
import { api } from '../../scripts/api.js'
import { translateMenus } from './lib/menus.js'
import { languageOf } from './lib/words.js'

/** @typedef {import('./lib/menus.js').NodeTexts} NodeTexts */

const PREFIX = 'FlashTalk_'

/** @type {Record<string, NodeTexts>} by node */
let texts = {}

/** One that the pack has words in. */
const language = () => languageOf(app.extensionManager?.setting?.get('Comfy.Locale') ?? 'en')

async function readTexts() {
  const wanted = language()
  if (wanted === 'en') return {}
  const answer = await fetch(api.apiURL('/i18n'))
  return answer.ok ? ((await answer.json())[wanted]?.nodeDefs ?? {}) : {}
}

app.registerExtension({
  name: 'flashtalk.menus',

  async init() {
    try {
      texts = await readTexts()
    } catch (error) {
      console.warn('[FlashTalk] menus stay in English:', error)
    }
  },

  nodeCreated(node) {
    if (node.comfyClass?.startsWith(PREFIX)) translateMenus(node.widgets ?? [], texts[node.comfyClass])
  },
})
