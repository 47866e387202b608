// A page's screenshots while something happens, for recording.py.

import { writeFile } from 'node:fs/promises'

const PERIOD_MS = 200

/** Take screenshots of part of a page, in files named by their milliseconds, until `happens` is over. */
export async function record(page, clip, folder, happens) {
  let isOver = false
  const saved = []
  const take = async () => {
    while (!isOver) {
      const due = Date.now() + PERIOD_MS
      const data = await page.screenshot({ clip, type: 'jpeg', quality: 95 })
      saved.push(writeFile(`${folder}/${due - PERIOD_MS}.jpg`, data))
      await page.waitForTimeout(Math.max(0, due - Date.now()))
    }
  }
  const recorded = take()
  await happens()
  isOver = true
  await recorded
  await Promise.all(saved)
}
