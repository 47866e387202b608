"""The Live node in ComfyUI's own page, in both renderers, its microphone plays a file."""

import json
import os
import shutil
import subprocess
import wave
from pathlib import Path

import numpy as np
import pytest

from .test_live import live_graph
from .test_preview_page import CHROMIUM, JS, RENDERERS, numbered

pytestmark = pytest.mark.comfyui

RATE_HZ = 48_000


@pytest.fixture
def microphone(tmp_path):
    """A file of syllables with pauses; the browser's own processing lets them through."""
    times = np.arange(4 * RATE_HZ) / RATE_HZ
    voice = sum(np.sin(2 * np.pi * 140 * n * times) / n for n in range(1, 12))
    syllables = np.maximum(0, np.sin(2 * np.pi * 3 * times)) * (times % 4 < 2.5)
    with wave.open(str(tmp_path / "microphone.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes((0.25 * voice * syllables * 32767).astype("<i2").tobytes())
    return tmp_path / "microphone.wav"


@pytest.fixture
def play(server):
    """Play the scenario and return what was seen."""
    if not (shutil.which("node") and (JS / "node_modules").is_dir() and Path(CHROMIUM).exists()):
        pytest.skip("needs Node.js, npm ci in tests/js, and Debian's chromium")

    def play(renderer, graph, wav):
        server.begin_part()
        done = subprocess.run(
            ["node", str(JS / "comfyui_live.mjs"), server.url, renderer, str(wav)],
            input=json.dumps(numbered(graph)),
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
            env=os.environ,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return play


@pytest.mark.parametrize("renderer", RENDERERS)
def test_a_microphone_is_heard_until_the_end_button(play, comfy, microphone, renderer):
    seen = play(renderer, live_graph(source="microphone"), microphone)
    assert seen["idle"] == {"status": "Queue the workflow to talk to it.", "buttons": []}
    assert seen["isVue"] == (renderer == "nodes2")
    assert "blob:" in seen["first"]["src"]
    assert seen["there"] == ["Microphone", "Interrupt", "End"]
    assert seen["speaking"]["buttons"][0] == "Microphone off"
    assert seen["speaking"]["status"].startswith("speaking · answers after ")
    assert seen["back"]["time"] > 0
    assert "/view?filename=talk_" in seen["end"]["src"]
    assert seen["end"]["buttons"] == []
    assert seen["widgets"].count("flashtalk_live") == 1
    assert "flashtalk_live" not in seen["saved"]
    assert not seen["pageErrors"]
