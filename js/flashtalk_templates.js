/**
 * Titles, descriptions and order of the pack's cards in the template browser: the page gives these
 * to its own templates only, so the pack's are handed over among them. Pages that load templates
 * differently show file names, as they do for every pack.
 */

import { api } from '../../scripts/api.js'
import { categoryOf } from './lib/templates.js'

/** @typedef {import('./lib/templates.js').Category} Category */
/** @typedef {import('./lib/templates.js').Listing} Listing */

const FOLDER = decodeURIComponent(new URL('.', import.meta.url).pathname.split('/').at(-2) ?? '')

/** @param {any} api */
function install(api) {
  const { getWorkflowTemplates, getCoreWorkflowTemplates } = api
  if (typeof getWorkflowTemplates !== 'function') return
  if (typeof getCoreWorkflowTemplates !== 'function') return

  /** @type {string[]} the pack's part of what the page holds */
  let listed = []
  /** @type {string[]} */
  let names = []

  api.getWorkflowTemplates = async function (/** @type {unknown[]} */ ...given) {
    /** @type {Listing} */
    const all = await getWorkflowTemplates.apply(this, given)
    if (!Array.isArray(all?.[FOLDER])) return all
    listed = all[FOLDER].sort()
    names = [...listed]
    return all
  }

  api.getCoreWorkflowTemplates = async function (/** @type {unknown[]} */ ...given) {
    /** @type {Category[]} */
    const core = await getCoreWorkflowTemplates.apply(this, given)
    if (!Array.isArray(core) || !names.length) return core
    // Removed from the page's list only now that they are elsewhere, so none is ever lost.
    listed.length = 0
    const language = typeof given[0] === 'string' ? given[0] : undefined
    // The page's own English fallback comes through here again, with ours among it already.
    const others = core.filter((each) => each.moduleName !== FOLDER)
    return [...others, categoryOf(FOLDER, names, language)]
  }
}

install(api)
