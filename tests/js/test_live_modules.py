"""Parts of the live page, in Node.js; the gate is compared with the server's."""

import numpy as np
import pytest

from flashtalk_core.live.audio.gate import Gate, level_db

from .run_node import run_module

pytestmark = pytest.mark.browser

BLOCK = 320


def noises():
    """Return 14 s of blocks: hiss that grows, speech over it, knocks; the seed is fixed."""
    random = np.random.default_rng(5)
    levels = np.repeat([0.0, 0.001, 0.01, 0.003, 0.02, 0.0005, 0.1], 100)
    levels[130:170] = 0.2  # speech
    levels[240:243] = 0.3  # a knock
    levels[350:420:8] = 0.3  # too short each
    levels[520:600] = 0.05
    return (levels[:, None] * random.standard_normal((len(levels), BLOCK))).astype(np.float32)


def test_the_gate_of_the_page_passes_what_that_of_the_server_does():
    blocks = noises()
    seen = run_module(
        "import { Gate } from 'page/gate.js'\n"
        "const gate = new Gate()\n"
        "console.log(JSON.stringify(given.map((block) => {\n"
        "  const { level, passed, hasClosed } = gate.judge(Float32Array.from(block))\n"
        "  const sound = passed.flatMap((one) => [...one])\n"
        "  return { level, threshold: gate.thresholdDb, sound, hasClosed }\n"
        "})))",
        blocks.tolist(),
    )
    gate, num_open = Gate(16_000), 0
    for block, page in zip(blocks, seen, strict=True):
        passed = list(gate.process(block[None]))
        sounds = [part for part in passed if part is not None]
        assert page["level"] == pytest.approx(level_db(block[None]), abs=1e-3)
        assert page["threshold"] == pytest.approx(gate.threshold_db, abs=1e-3)
        assert page["hasClosed"] == any(part is None for part in passed)
        expected = np.concatenate(sounds, axis=1)[0] if sounds else np.zeros(0)
        np.testing.assert_allclose(page["sound"], expected, atol=1e-6)
        num_open += page["hasClosed"]
    assert num_open >= 2


SPEECH = [
    (300, [1] * 14, []),
    (300, [1] * 40, [14]),
    (150, [1] * 40, [7]),
    ("Infinity", [1] * 100, []),
    (300, [1] * 10 + [0] * 5 + [1] * 10, [19]),  # a dip of 100 ms
    (300, [1] * 10 + [0] * 6 + [1] * 14, []),
    (150, [1] * 10 + [0] * 6 + [1] * 10, [7, 23]),  # once each
]
"""Speech that interrupts, in ms; loud blocks; those at which it does."""


def test_sustained_speech_interrupts_once():
    seen = run_module(
        "import { BargeIn } from 'page/barge_in.js'\n"
        "console.log(JSON.stringify(given.map(([sustain, loud]) => {\n"
        "  const bargeIn = new BargeIn(Number(sustain))\n"
        "  return loud.flatMap((isLoud, i) => (bargeIn.take(Boolean(isLoud)) ? [i] : []))\n"
        "})))",
        [[sustain_ms, loud] for sustain_ms, loud, _ in SPEECH],
    )
    assert seen == [fired for _, _, fired in SPEECH]


def test_a_long_file_is_sent_no_faster_than_the_server_takes_it():
    seen = run_module(
        "import { sendSound } from 'page/sound_file.js'\n"
        "let nowMs = 0\n"  # a clock that moves while it is waited for
        "performance.now = () => nowMs\n"
        "globalThis.setTimeout = (call, ms) => { nowMs += ms; queueMicrotask(call) }\n"
        "const sent = []\n"
        "const send = (piece) => sent.push([nowMs, piece.length])\n"
        "await sendSound(new Int16Array(48000 * 40 + 5), send, new AbortController().signal)\n"
        "console.log(JSON.stringify(sent))"
    )
    assert sum(length for _, length in seen) == 48_000 * 40 + 5
    pushed_s = 0.0
    for now_ms, length in seen:
        pushed_s += length / 48_000
        assert pushed_s - now_ms / 1000 <= 31.01
    assert seen[29][0] == 0
