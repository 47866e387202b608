// The bundled portrait and speech, for workflows that name them.

import { readFile } from 'node:fs/promises'

export const ROOT = new URL('../../', import.meta.url)
const EXAMPLE = { 'portrait.png': 'image/png', 'speech.wav': 'audio/wav' }

/** Put them where Load Image and Load Audio of the ComfyUI at `url` find them. */
export async function uploadExample(url) {
  for (const [name, type] of Object.entries(EXAMPLE)) {
    const bytes = await readFile(new URL(`flashtalk_core/assets/example/${name}`, ROOT))
    const form = new FormData()
    form.append('image', new Blob([bytes], { type }), name)
    form.append('overwrite', 'true')
    const answer = await fetch(`${url}/upload/image`, { method: 'POST', body: form })
    if (!answer.ok) throw new Error(`${name}: upload answered ${answer.status}`)
  }
}
