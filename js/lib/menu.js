/** What the preview adds to its node's menu. */

import { filePath } from './messages.js'

/**
 * @typedef {object} MenuActions
 * @property {import('./view.js').PreviewView} view
 * @property {import('./words.js').Say} say
 * @property {boolean} isHidden
 * @property {(isHidden: boolean) => void} hide
 * @property {boolean} loops
 * @property {(loops: boolean) => void} loop
 */

/** @param {MenuActions} actions */
export function menuItems({ view, say, isHidden, hide, loops, loop }) {
  const { shownFile: file, video } = view
  const ofFile = file && [
    item(say('openFile'), () => window.open(view.urlOf(filePath(file)), '_blank')),
    item(say('saveFile'), () => save(view.urlOf(filePath(file)), file.filename)),
    item(say('copyPath'), () => copy([file.type, file.subfolder, file.filename].filter(Boolean).join('/'))),
  ]
  return [
    null, // a line
    ...(ofFile ?? []),
    item(say(video.muted ? 'unmute' : 'mute'), () => view.toggleSound()),
    item(say(isHidden ? 'show' : 'hide'), () => hide(!isHidden)),
    item(say(loops ? 'playOnce' : 'loop'), () => loop(!loops)),
  ]
}

/** @param {string} content @param {() => void} callback */
function item(content, callback) {
  return { content, callback }
}

/** @param {string} url @param {string} name */
function save(url, name) {
  const link = document.createElement('a')
  link.href = url
  link.download = name
  link.click()
}

/** @param {string} text */
function copy(text) {
  // Over plain HTTP from another machine a browser has no clipboard for pages, only its old command.
  if (navigator.clipboard) return void navigator.clipboard.writeText(text).catch(console.warn)
  const field = document.createElement('textarea')
  field.value = text
  document.body.append(field)
  field.select()
  document.execCommand('copy')
  field.remove()
}
