/** Entries of the nodes' menus in the page's language; the page itself translates only names. */

/** @typedef {{ options?: Record<string, string> }} InputTexts */
/** @typedef {{ inputs?: Record<string, InputTexts> }} NodeTexts as in `locales/<language>/nodeDefs.json` */
/**
 * @typedef {object} Menu a widget with entries
 * @property {string} name
 * @property {{ getOptionLabel?: (value?: string | null) => string }} [options]
 */

/** The page's files of texts take a dot for a step into a table. @param {string} name */
const key = (name) => name.replaceAll('.', '_')

/**
 * Show entries under other names; their values, which are saved and sent, stay.
 * @param {Menu[]} widgets
 * @param {NodeTexts | undefined} texts
 */
export function translateMenus(widgets, texts) {
  for (const widget of widgets) {
    const words = texts?.inputs?.[key(widget.name)]?.options
    if (!words || !widget.options) continue
    widget.options.getOptionLabel = (value) => words[key(value ?? '')] ?? value ?? ''
  }
}
