/** Elements of the page, made and labelled. */

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} name
 * @param {string} kind
 */
export function element(name, kind) {
  const made = document.createElement(name)
  made.className = kind
  return made
}

/**
 * @param {string} kind
 * @param {() => void} onClick
 */
export function button(kind, onClick) {
  const made = element('button', `flashtalk-button flashtalk-${kind}`)
  made.type = 'button'
  made.addEventListener('click', onClick)
  return made
}

/**
 * Only what changed is written, so that a screen reader says it once.
 * @param {HTMLElement} place
 * @param {string} text
 */
export function write(place, text) {
  if (place.textContent !== text) place.textContent = text
}
