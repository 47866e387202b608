"""Parts of the live session's widget, in Node.js: the feed, the line, the worklet elsewhere."""

import json
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.browser

LIB = Path(__file__).parents[2] / "js" / "lib"
MESSAGE = {
    "state": "live", "session": "abc", "text": None, "source": "microphone", "speaking": False,
    "seconds": 65.2, "limit_s": 1800, "response_ms": None, "waiting_s": 0, "reason": None,
    "file": None,
}  # fmt: skip


@pytest.fixture
def run_module():
    """Run a script with the modules of js/lib and return what it prints."""

    def run(script):
        script = script.replace("'./", f"'{LIB.as_uri()}/")
        done = subprocess.run(
            ["node", "--input-type=module", "-e", script],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def test_the_feed_keeps_the_order_and_sends_together_what_came_meanwhile(run_module):
    sent = run_module("""
        import { Feed } from './live_feed.js'
        const sent = [], answers = []
        globalThis.fetch = async (url, { body }) => {
          sent.push([...new Int16Array(await body.arrayBuffer())])
          await new Promise((done) => answers.push(done))
          return { ok: true }
        }
        const wait = () => new Promise((done) => setTimeout(done, 5))
        const feed = new Feed((path) => path, 'abc', () => {})
        for (const value of [1, 2, 3]) feed.push(Int16Array.of(value))
        await wait()
        answers.shift()()
        await wait()
        feed.push(Int16Array.of(4))
        answers.shift()()
        await wait()
        console.log(JSON.stringify(sent))
    """)
    assert sent == [[1], [2, 3], [4]]


def test_the_feed_drops_what_is_late_and_stops_where_it_is_refused(run_module):
    seen = run_module("""
        import { Feed } from './live_feed.js'
        const second = () => new Int16Array(48000)
        let [isDown, lost, requests] = [true, 0, 0]
        globalThis.fetch = async () => {
          requests++
          await new Promise((done) => setTimeout(done, 5))
          if (isDown) throw new Error('no network')
          return { ok: false, status: 404 }
        }
        const feed = new Feed((path) => path, 'abc', () => lost++)
        for (let i = 0; i < 6; i++) feed.push(second())
        const waiting = feed.waiting.length
        isDown = false
        await new Promise((done) => setTimeout(done, 50))
        const before = requests
        feed.push(second())
        await new Promise((done) => setTimeout(done, 20))
        console.log(JSON.stringify({ waiting, lost, more: requests - before }))
    """)
    assert seen == {"waiting": 2, "lost": 1, "more": 0}


def test_a_video_that_is_over_before_its_session_is_watched_again(run_module):
    seen = run_module("""
        import { LiveView } from './live_view.js'
        let nowMs = 5000
        performance.now = () => nowMs
        const shown = [], player = { isOver: true }
        const showLive = (session) => { shown.push([nowMs, session]); player.isOver = false }
        const view = { listening: { session: 'abc' }, player, overMs: null, showLive }
        const look = (atMs) => { nowMs = atMs; LiveView.prototype.revive.call(view) }
        for (const atMs of [5000, 5500, 6000, 7000]) look(atMs)
        player.isOver = true // again, and the session ends before long
        for (const atMs of [9000, 9900]) look(atMs)
        view.listening = null
        for (const atMs of [10500, 12000]) look(atMs)
        console.log(JSON.stringify(shown))
    """)
    assert seen == [[6000, "abc"]]


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({}, "listening · 1:05 of 30:00 · other prompts wait"),
        (
            {"speaking": True, "response_ms": 812.4, "waiting_s": 2.0},
            "speaking · answers after 0.81 s · 2.0 s of sound wait · 1:05 of 30:00 · "
            "other prompts wait",
        ),
        ({"session": None, "text": "checking"}, "checking"),
        ({"state": "finished", "reason": "closed"}, "ended · 65.2 s"),
        ({"state": "finished", "reason": "idle"}, "ended after a long silence · 65.2 s"),
        ({"state": "failed", "reason": "out of luck"}, "failed: out of luck"),
    ],
)
def test_the_line_says_what_the_session_does(run_module, changed, line):
    found = run_module(f"""
        import {{ liveStatusLine }} from './live_status.js'
        import {{ speakIn }} from './words.js'
        const message = {json.dumps(MESSAGE | changed)}
        console.log(JSON.stringify(liveStatusLine(message, '', speakIn(() => 'en'))))
    """)
    assert found == line


def test_the_worklet_cuts_blocks_of_20_ms_and_does_nothing_in_a_page(run_module):
    seen = run_module("""
        import { readFileSync } from 'node:fs'
        const source = readFileSync(new URL('./microphone_worklet.js'), 'utf8')
        ;(0, eval)(source) // as a page does: there is no processor, and nothing is raised
        const sent = []
        globalThis.sampleRate = 16000
        globalThis.AudioWorkletProcessor = class {
          port = { postMessage: (block) => sent.push(block) }
        }
        let Kind
        globalThis.registerProcessor = (name, kind) => (Kind = kind)
        ;(0, eval)(source)
        const blocks = new Kind()
        for (let i = 0; i < 6; i++) blocks.process([[new Float32Array(128).fill(i < 3 ? 0.5 : -2)]])
        const { peakOf, toPcm } = await import('./pcm.js')
        const found = sent.map((block) => {
          const pcm = toPcm(block)
          return [pcm.length, pcm[0], pcm.at(-1), peakOf(block)]
        })
        console.log(JSON.stringify(found))
    """)
    assert seen == [[320, 16384, 16384, 0.5], [320, 16384, -32768, 1]]
