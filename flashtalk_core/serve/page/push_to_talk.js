/** A button that is held while one talks, with the pointer or the space bar. */

const ITS_OWN_KEYS = 'button, input, select, textarea, a, pre'

/**
 * @param {HTMLButtonElement} button
 * @param {(isPushed: boolean) => void} onPush
 */
export function watchPush(button, onPush) {
  const release = () => onPush(false)
  const isUsable = () => !button.hidden && !button.disabled
  button.addEventListener('pointerdown', (event) => {
    if (event.button !== 0 || !isUsable()) return
    button.setPointerCapture(event.pointerId)
    onPush(true)
  })
  for (const name of ['pointerup', 'pointercancel', 'lostpointercapture'])
    button.addEventListener(name, release)
  button.addEventListener('contextmenu', (event) => event.preventDefault()) // a long touch
  document.addEventListener('keydown', (event) => {
    if (!isTalkKey(event, button) || !isUsable()) return
    event.preventDefault() // neither scrolls nor clicks
    if (!event.repeat) onPush(true)
  })
  document.addEventListener('keyup', (event) => {
    if (isTalkKey(event, button)) release()
  })
  // No key is seen to come up where the page is not looked at.
  window.addEventListener('blur', release)
  document.addEventListener('visibilitychange', release)
}

/**
 * @param {KeyboardEvent} event
 * @param {HTMLElement} button
 */
function isTalkKey({ code, target }, button) {
  if (code !== 'Space') return false
  return target === button || !(target instanceof Element && target.closest(ITS_OWN_KEYS))
}
