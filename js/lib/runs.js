/** Runs that this page queued: what becomes of a preview before its node's own messages begin. */

import { refusal, titleOf, upstream } from './prompt.js'

/** @typedef {import('./prompt.js').Prompt} Prompt */
/**
 * @typedef {object} Activity
 * @property {'queued' | 'preparing' | 'stopped' | 'failed'} state
 * @property {string} [title] - of the node that works, or failed
 * @property {string} [reason]
 */
/**
 * @callback OnActivity
 * @param {string | null} workflow
 * @param {string} node - execution id of a preview
 * @param {Activity | null} activity - null: nothing more will come
 */
/**
 * @typedef {object} Run
 * @property {Prompt} prompt
 * @property {string | null} workflow
 * @property {Map<string, Set<string>>} previews - what each one waits for, by its id
 */

const MAX_RUNS = 100
const MAX_EARLY = 50
/** Characters of an error that are shown; other packs put whole tables into theirs. */
const MAX_REASON = 2000
const EVENTS = ['execution_start', 'execution_error', 'execution_interrupted', 'execution_success']

export class Runs {
  /**
   * @param {string[]} kinds - classes of the nodes that are followed
   * @param {OnActivity} onActivity
   * @param {(id: string) => void} onAccepted - gets the id of each prompt that ComfyUI took
   */
  constructor(kinds, onActivity, onAccepted = () => {}) {
    this.onAccepted = onAccepted
    this.kinds = kinds
    this.onActivity = onActivity
    /** @type {Map<string, Run>} by id of the prompt */
    this.runs = new Map()
    /** @type {[string, any][]} events that came before the answer that names their run */
    this.early = []
    /** @type {Run | null} */
    this.current = null
  }

  /**
   * Follow what a page queues, through the one call that knows nodes, workflow and answer.
   * @param {any} api - ComfyUI's
   * @param {(prompt: Prompt, previews: string[]) => void} onQueue - may change what is queued
   */
  follow(api, onQueue) {
    for (const name of EVENTS)
      api.addEventListener(name, (/** @type {CustomEvent} */ { detail }) => this.receive(name, detail))
    api.addEventListener('executing', (/** @type {CustomEvent} */ { detail }) => this.work(detail))
    api.addEventListener('status', (/** @type {CustomEvent} */ { detail }) => {
      if (detail?.exec_info?.queue_remaining === 0) this.drop()
    })
    const send = api.queuePrompt
    api.queuePrompt = async (/** @type {any[]} */ ...call) => {
      const run = this.begin(call, onQueue)
      if (!run) return send.apply(api, call)
      try {
        const answer = await send.apply(api, call)
        this.accept(run, answer)
        return answer
      } catch (error) {
        this.refuse(run, /** @type {any} */ (error).response ?? { error: String(error) })
        throw error
      }
    }
  }

  /**
   * What is queued must be queued, whatever goes wrong here.
   * @param {any[]} call
   * @param {(prompt: Prompt, previews: string[]) => void} onQueue
   */
  begin(call, onQueue) {
    try {
      const run = this.plan(call[1], call[2])
      if (!run) return null
      onQueue(run.prompt, [...run.previews.keys()])
      this.report(run, { state: 'queued' })
      return run
    } catch (error) {
      console.error(error)
      return null
    }
  }

  /**
   * @param {any} data - of a call that queues
   * @param {any} options
   * @returns {Run | null} null if it holds no preview
   */
  plan(data, options) {
    const prompt = data?.output
    if (!prompt) return null
    const targets = options?.partialExecutionTargets
    const needed = targets?.flatMap((/** @type {any} */ id) => [...upstream(prompt, String(id))])
    const ids = Object.keys(prompt).filter((id) =>
      this.kinds.includes(prompt[id].class_type) && (needed?.includes(id) ?? true))
    if (!ids.length) return null
    const previews = new Map(ids.map((id) => [id, upstream(prompt, id)]))
    return { prompt, workflow: data.workflow?.id ?? null, previews }
  }

  /** @param {Run} run @param {any} answer */
  accept(run, answer) {
    if (Object.keys(answer?.node_errors ?? {}).length) this.refuse(run, answer)
    if (!answer?.prompt_id) return
    this.runs.set(answer.prompt_id, run)
    this.onAccepted(answer.prompt_id)
    for (const old of [...this.runs.keys()].slice(0, -MAX_RUNS)) this.runs.delete(old)
    const isMine = (/** @type {[string, any]} */ [, { prompt_id }]) => prompt_id === answer.prompt_id
    const mine = this.early.filter(isMine)
    this.early = this.early.filter((event) => !isMine(event))
    for (const [name, detail] of mine) this.receive(name, detail)
  }

  /** @param {Run} run @param {any} answer - with errors of nodes, or of the whole prompt */
  refuse(run, answer) {
    const errors = Object.entries(answer.node_errors ?? {})
    const general = answer.error?.message ?? answer.error ?? ''
    for (const [id, needed] of run.previews) {
      const [bad, failed] =
        errors.find(([node, { errors: own }]) => own?.length && needed.has(node)) ?? []
      if (bad) this.fail(run, id, bad, refusal(failed))
      else if (!errors.length) this.onActivity(run.workflow, id, { state: 'failed', reason: general })
      else if (!answer.prompt_id) this.onActivity(run.workflow, id, null)
    }
  }

  /** @param {string} name @param {any} detail */
  receive(name, detail) {
    const run = this.runs.get(detail?.prompt_id)
    if (!run) {
      if (detail?.prompt_id) this.early.push([name, detail])
      this.early = this.early.slice(-MAX_EARLY)
      return
    }
    if (name === 'execution_start') {
      this.current = run
      this.report(run, { state: 'preparing' })
      return
    }
    if (this.current === run) this.current = null
    this.runs.delete(detail.prompt_id)
    if (name === 'execution_error') this.stop(run, String(detail.node_id), detail.exception_message)
    else this.report(run, name === 'execution_interrupted' ? { state: 'stopped' } : null)
  }

  /** The queue is empty: whatever was taken from it will not run. */
  drop() {
    for (const [id, run] of [...this.runs]) {
      if (run === this.current) continue
      this.runs.delete(id)
      this.report(run, null)
    }
  }

  /** @param {Run} run @param {string} bad - node that failed @param {unknown} message */
  stop(run, bad, message) {
    for (const [id, needed] of run.previews) {
      if (needed.has(bad)) this.fail(run, id, bad, String(message ?? '').trim())
      else this.onActivity(run.workflow, id, null)
    }
  }

  /** @param {Run} run @param {string} id @param {string} bad @param {string} reason */
  fail(run, id, bad, reason) {
    const title = titleOf(run.prompt, bad)
    this.onActivity(run.workflow, id, { state: 'failed', title, reason: reason.slice(0, MAX_REASON) })
  }

  /** @param {any} detail - the node that works now, as an execution id */
  work(detail) {
    const node = typeof detail === 'object' ? detail?.node : detail
    if (!this.current || node == null || this.current.previews.has(String(node))) return
    const title = titleOf(this.current.prompt, String(node))
    for (const [id, needed] of this.current.previews)
      if (needed.has(String(node)))
        this.onActivity(this.current.workflow, id, { state: 'preparing', title })
  }

  /** @param {Run} run @param {Activity | null} activity */
  report(run, activity) {
    for (const id of run.previews.keys()) this.onActivity(run.workflow, id, activity)
  }
}
