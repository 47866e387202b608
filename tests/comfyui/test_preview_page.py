"""The preview in ComfyUI's own page, in both of its renderers, looked at with a browser."""

import json
import os
import shutil
import subprocess
import wave
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.comfyui

JS = Path(__file__).parents[1] / "js"
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
RENDERERS = ("classic", "nodes2")
LONG_SPEECH, LONG_S, RATE_HZ = "long_speech.wav", 60, 16_000


@pytest.fixture
def play(server):
    """Play a scenario on the page and return what was seen."""
    if not (shutil.which("node") and (JS / "node_modules").is_dir() and Path(CHROMIUM).exists()):
        pytest.skip("needs Node.js, npm ci in tests/js, and Debian's chromium")

    def play(name, renderer, graph, way="mse"):
        server.begin_part()
        done = subprocess.run(
            ["node", str(JS / "comfyui.mjs"), name, server.url, renderer, way],
            input=json.dumps(numbered(graph)),
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return play


@pytest.fixture
def long_speech(base):
    """Name of a sound that nobody waits for the end of."""
    time_s = np.arange(LONG_S * RATE_HZ) / RATE_HZ
    tone = 0.3 * np.sin(2 * np.pi * 180 * time_s) * np.sin(np.pi * 4 * time_s) ** 2
    with wave.open(str(base / "input" / LONG_SPEECH), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes((tone * 32767).astype("<i2").tobytes())
    return LONG_SPEECH


def long_prompt(graph, long_speech, seed):
    """Return a prompt of a run that is interrupted."""
    return graph(
        speech__duration=float(LONG_S),
        audio__audio=long_speech,
        sampler__seed=seed,
        sampler__steps=2,
    )


def numbered(graph):
    """Return a prompt with numbers for ids, as the page gives them."""
    ids = {name: str(number) for number, name in enumerate(graph, 1)}

    def value(given):
        is_link = isinstance(given, list) and given[0] in ids
        return [ids[given[0]], given[1]] if is_link else given

    return {
        ids[name]: {
            "class_type": node["class_type"],
            "inputs": {key: value(given) for key, given in node["inputs"].items()},
        }
        for name, node in graph.items()
    }


def has_picture(seen):
    return seen["mean"] > 10 and seen["spread"] > 5 and seen["width"] > 0


@pytest.mark.parametrize(
    ("renderer", "way", "source"),
    [
        ("classic", "mse", "blob:"),
        ("nodes2", "mse", "blob:"),
        ("classic", "plain", "/flashtalk/stream/"),
    ],
)
def test_a_run_is_seen_and_leaves_nothing_in_the_workflow(play, graph, renderer, way, source):
    prompt = graph(speech__duration=4.0)
    seen = play("plays", renderer, prompt, way)
    assert source in seen["later"]["src"]
    assert seen["idle"]["isVue"] == (renderer == "nodes2")
    assert seen["idle"]["width"] > 150
    assert seen["idle"]["height"] >= 250
    assert seen["first"]["status"].startswith("chunk ")
    assert has_picture(seen["later"])
    assert seen["later"]["decoded"] > seen["first"]["decoded"] > 0
    assert "/view?filename=avatar_00001_.mp4" in seen["end"]["src"]
    assert has_picture(seen["end"])
    # One player: ComfyUI's own one does not appear beside it.
    assert seen["after"]["videos"] == 1
    assert seen["after"]["widgets"].count("flashtalk_preview") == 1
    assert "flashtalk_preview" not in seen["saved"]
    assert "session" not in seen["saved"]
    assert seen["fresh"]["mode"] == "idle"
    assert "/view?filename=avatar_00001_.mp4" in seen["cached"]["src"]
    assert has_picture(seen["cached"])
    assert not seen["faults"]


@pytest.mark.parametrize("renderer", RENDERERS)
def test_a_run_survives_what_users_do_to_the_page(play, graph, long_speech, renderer):
    prompt = long_prompt(graph, long_speech, 5 + RENDERERS.index(renderer))
    seen = play("survives", renderer, prompt)
    assert (seen["sound"]["peak"] >= 0.05, seen["sound"]["muted"]) == (True, False)
    assert seen["id"].strip("0-")
    assert seen["elsewhere"] == 0
    for name in ("before", "back", "second", "reloaded"):
        assert has_picture(seen[name]), name
        assert seen[name]["mode"] == "live"
    assert seen["second"]["ranges"][0][0] > 0  # it joined late
    assert "interrupted after" in seen["end"]["status"]
    assert not seen["faults"]


@pytest.mark.parametrize("renderer", RENDERERS)
def test_a_browser_without_the_codec_sees_pictures(play, graph, long_speech, renderer):
    prompt = long_prompt(graph, long_speech, 7 + RENDERERS.index(renderer))
    seen = play("showsPictures", renderer, prompt)
    assert seen["width"] > 0
    assert not seen["isHidden"]
    assert seen["sent"] > 0
    assert not seen["faults"]


@pytest.mark.parametrize("renderer", RENDERERS)
def test_each_node_shows_its_own_run(play, graph, renderer):
    prompt = graph(sampler__seed=9 + RENDERERS.index(renderer))
    inputs = prompt["preview"]["inputs"]
    prompt["other"] = {
        "class_type": "FlashTalk_StreamPreview",
        "inputs": inputs | {"filename_prefix": "../../outside"},
    }
    seen = play("showsTwoNodes", renderer, prompt)
    failed = [line for line in seen["lines"] if "failed" in line and "outside the output" in line]
    assert len(failed) == 1
    assert len(seen["lines"]) == 2
