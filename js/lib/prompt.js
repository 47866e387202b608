/** A prompt in API form: which nodes a node waits for, and why ComfyUI refuses one. */

/** @typedef {Record<string, { class_type: string, inputs: Record<string, any>, _meta?: any }>} Prompt */

/**
 * A node and all that it waits for.
 * @param {Prompt} prompt
 * @param {string} id
 * @returns {Set<string>}
 */
export function upstream(prompt, id) {
  const found = new Set([id])
  for (const each of found)
    for (const value of Object.values(prompt[each]?.inputs ?? {}))
      if (Array.isArray(value) && value.length === 2 && String(value[0]) in prompt)
        found.add(String(value[0]))
  return found
}

/**
 * What the page calls a node.
 * @param {Prompt} prompt
 * @param {string} id
 */
export function titleOf(prompt, id) {
  return String(prompt[id]?._meta?.title ?? prompt[id]?.class_type ?? id)
}

/**
 * ComfyUI's errors of a node's inputs, in one sentence.
 * @param {{ errors?: { type: string, message: string, details: string }[] } | undefined} answer
 */
export function refusal(answer) {
  const [first] = answer?.errors ?? []
  if (!first) return ''
  // What a node itself says comes behind the input's name.
  const own = first.type === 'custom_validation_failed' && first.details.split(' - ').slice(1).join(' - ')
  return own || [first.message, first.details].filter(Boolean).join(': ')
}
