// What Chromium shows of image files.

import fs from 'node:fs'
import http from 'node:http'
import path from 'node:path'

const TYPES = { '.png': 'image/png', '.jpg': 'image/jpeg', '.webp': 'image/webp', '.gif': 'image/gif', '.avif': 'image/avif' }

function serve(folder) {
  return http.createServer((request, response) => {
    const name = path.basename(decodeURIComponent(request.url))
    const file = path.join(folder, name)
    response.setHeader('content-type', TYPES[path.extname(name)] ?? 'text/html')
    response.end(name && fs.existsSync(file) ? fs.readFileSync(file) : '<html></html>')
  }).listen(0, '127.0.0.1')
}

/** Width, height and RGBA pixels of the files of a folder, by name. */
export async function showPictures(browser, folder) {
  const server = serve(folder)
  try {
    const page = await browser.newPage()
    await page.goto(`http://127.0.0.1:${server.address().port}/`)
    const seen = {}
    for (const name of fs.readdirSync(folder).sort()) {
      seen[name] = await page.evaluate(async (name) => {
        const image = new Image()
        image.src = name
        await image.decode()
        const canvas = document.createElement('canvas')
        const [width, height] = [(canvas.width = image.naturalWidth), (canvas.height = image.naturalHeight)]
        const context = canvas.getContext('2d')
        context.drawImage(image, 0, 0)
        return [width, height, Array.from(context.getImageData(0, 0, width, height).data)]
      }, name)
    }
    return seen
  } finally {
    server.close()
    server.closeAllConnections()
  }
}
