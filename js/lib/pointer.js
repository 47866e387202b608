/** Wheel, menu and drag over the player reach ComfyUI's canvas, as anywhere else on a node. */

/** Pixels that a pointer moves before it drags; less is a click. */
const DRAG_PX = 5
/** Height of the browser's own controls at the bottom of a video. */
const CONTROLS_PX = 80

/**
 * @param {HTMLElement} root
 * @param {() => HTMLCanvasElement | null} canvasOf - null if the page passes events on itself
 */
export function passToCanvas(root, canvasOf) {
  /** @type {PointerEvent | null} */
  let pressed = null
  const pass = (/** @type {MouseEvent} */ event) => {
    const Kind = /** @type {any} */ (event.constructor)
    canvasOf()?.dispatchEvent(new Kind(event.type, event))
  }
  root.addEventListener('wheel', (event) => {
    if (!canvasOf() || canScroll(event)) return
    event.preventDefault()
    pass(event)
  }, { passive: false })
  root.addEventListener('contextmenu', (event) => {
    event.preventDefault()
    if (canvasOf()) return // it opens the node's menu at the press
    // Nodes 2.0 would offer the widget as a value; the node itself does not.
    event.stopPropagation()
    root.closest('.lg-node')?.dispatchEvent(new MouseEvent('contextmenu', event))
  })
  root.addEventListener('pointerdown', (event) => {
    pressed = null
    if (!canvasOf()) return
    if (event.button === 0) pressed = isForControls(event) ? null : event
    else {
      event.preventDefault()
      pass(event)
    }
  })
  root.addEventListener('pointermove', (event) => {
    if (!pressed) {
      if (event.buttons) pass(event)
      return
    }
    const distance = Math.hypot(event.clientX - pressed.clientX, event.clientY - pressed.clientY)
    if (!event.buttons) pressed = null
    if (!pressed || distance < DRAG_PX) return
    pass(pressed) // from here on the canvas holds the pointer
    pass(event)
    pressed = null
  })
  root.addEventListener('pointerup', (event) => {
    if (!pressed) pass(event)
    pressed = null
  })
}

/** Whether a long text under the pointer takes the wheel. @param {WheelEvent} event */
function canScroll({ target }) {
  const text = target instanceof Element ? target.closest('.flashtalk-status, .flashtalk-notes') : null
  return text !== null && text.scrollHeight > text.clientHeight
}

/** Whether a press is for a button, text, or the browser's controls. @param {PointerEvent} event */
function isForControls({ target, clientY }) {
  if (!(target instanceof HTMLVideoElement)) return true
  return target.controls && target.getBoundingClientRect().bottom - clientY < CONTROLS_PX
}
