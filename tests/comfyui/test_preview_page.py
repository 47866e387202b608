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
    """Name of an audio file that is longer than any test waits."""
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


def shows_image(seen):
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
    prompt = graph(speech__duration=6.0, sampler__steps=8)  # it must go on for a second look
    seen = play("plays", renderer, prompt, way)
    assert source in seen["later"]["src"]
    assert seen["idle"]["isVue"] == (renderer == "nodes2")
    assert seen["idle"]["width"] > 150
    assert seen["idle"]["height"] >= 250
    assert seen["first"]["status"].startswith("chunk ")
    assert shows_image(seen["later"])
    assert seen["later"]["decoded"] > seen["first"]["decoded"] > 0
    assert "/view?filename=avatar_00001_.mp4" in seen["end"]["src"]
    assert shows_image(seen["end"])
    # One player: ComfyUI's own one does not appear next to it.
    assert seen["after"]["videos"] == 1
    assert seen["after"]["widgets"].count("flashtalk_preview") == 1
    assert "flashtalk_preview" not in seen["saved"]
    assert "session" not in seen["saved"]
    assert seen["fresh"]["mode"] == "idle"
    assert "/view?filename=avatar_00001_.mp4" in seen["cached"]["src"]
    assert shows_image(seen["cached"])
    assert not seen["pageErrors"]


@pytest.mark.parametrize("renderer", RENDERERS)
def test_a_run_survives_what_users_do_to_the_page(play, graph, long_speech, renderer):
    prompt = long_prompt(graph, long_speech, 5 + RENDERERS.index(renderer))
    seen = play("survives", renderer, prompt)
    assert (seen["sound"]["peak"] >= 0.05, seen["sound"]["muted"]) == (True, False)
    assert seen["id"].strip("0-")
    assert seen["elsewhere"] == 0
    for name in ("before", "back", "second", "reloaded"):
        assert shows_image(seen[name]), name
        assert seen[name]["mode"] == "live"
    assert seen["second"]["ranges"][0][0] > 0  # it joined late
    assert "interrupted after" in seen["end"]["status"]
    assert not seen["pageErrors"]


@pytest.mark.parametrize("renderer", RENDERERS)
def test_a_browser_without_the_codec_sees_images(play, graph, long_speech, renderer):
    prompt = long_prompt(graph, long_speech, 7 + RENDERERS.index(renderer))
    seen = play("showsPictures", renderer, prompt)
    assert seen["width"] > 0
    assert not seen["isHidden"]
    assert seen["sent"] > 0
    assert not seen["pageErrors"]


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


@pytest.mark.parametrize("renderer", RENDERERS)
def test_the_player_keeps_its_size_and_moves_early(play, graph, renderer):
    prompt = graph(speech__duration=4.0, sampler__seed=11 + RENDERERS.index(renderer))
    seen = play("keepsItsSize", renderer, prompt)
    assert seen["fresh"] == [420, 640]
    for name in ("during", "after"):
        assert seen[name]["height"] == pytest.approx(seen["before"]["height"], abs=2)
        assert seen[name]["picture"] == pytest.approx(seen["before"]["picture"], abs=2)
        assert seen[name]["overhang"] <= 2
    assert seen["before"]["overhang"] <= 2
    # Nothing of the second chunk was there yet; 1.2 x the 28 new frames of the first.
    assert seen["frames"] <= 33
    assert not seen["pageErrors"]


@pytest.mark.parametrize("renderer", RENDERERS)
def test_wheel_menu_and_drag_over_the_player_reach_the_canvas(play, graph, renderer):
    seen = play("passesTheMouse", renderer, graph())
    assert seen["zoomed"]["scale"] > seen["idle"]["scale"]
    assert "Hide preview" in seen["items"]
    assert "quality" in seen["panel"]
    if tuple(map(int, seen["version"].split(".")[:2])) >= (1, 49):  # older ones list every widget
        assert "flashtalk_preview" not in seen["items"]
        assert "flashtalk_preview" not in seen["panel"]
    if renderer == "classic":
        assert seen["dragged"]["pos"] == [seen["held"]["pos"][0] + 60, seen["held"]["pos"][1] + 40]
    assert not seen["pageErrors"]


@pytest.mark.parametrize("renderer", RENDERERS)
def test_earlier_takes_can_be_shown_again(play, graph, renderer):
    prompt = graph(sampler__seed=13 + RENDERERS.index(renderer))
    seen = play("keepsTakes", renderer, prompt)
    assert seen["last"]["loops"]
    assert not seen["once"]
    assert (seen["count"], seen["reloaded"]) == ("2/2", "2/2")
    assert "_00001_.mp4" in seen["first"]["src"]
    assert "take 1 of 2" in seen["first"]["status"]
    offered = ["Open video in new tab", "Save video as", "Copy path of video", "Unmute"]
    assert set(offered) < set(seen["offered"])
    assert not [item for item in seen["offered"] if item and "flashtalk_preview" in item]
    assert not seen["hidden"]
    assert not seen["pageErrors"]


@pytest.mark.parametrize("renderer", RENDERERS)
def test_the_reason_of_a_failure_is_said_in_the_preview(play, graph, renderer):
    prompt = graph()
    audio_inputs = {"class_type": "FlashTalkTest_TwoSounds", "inputs": {"audio": ["audio", 0]}}
    prompt |= {"sounds": audio_inputs}
    prompt["speech"]["inputs"]["audio"] = ["sounds", 0]
    seen = play("tellsFailures", renderer, prompt)
    sentence = "audio batch of 2: one audio clip makes one video"
    assert seen["idle"] == "Queue the workflow to see it talk."
    assert seen["failed"].startswith("failed: FlashTalk Audio Encode")
    assert sentence in seen["failed"]
    assert seen["kind"] == "bad"
    # From Run to the error there is always something to read.
    assert seen["lines"][0] == "queued"
    # A quick failure may leave no time to see the second line.
    assert all(line.startswith("preparing") for line in seen["lines"][1:-1])
    assert seen["lines"][-1] == seen["failed"]
    assert seen["refused"] == "failed: Load Image: Invalid image file: not there.png"
    assert seen["translated"].startswith("\u5931\u8d25")  # "failed" in Chinese


@pytest.mark.parametrize("renderer", RENDERERS)
def test_a_closed_tab_is_no_loss(play, graph, renderer):
    seed = 15 + RENDERERS.index(renderer)
    # Many steps: it must go on while the page is opened again, on a busy machine, too.
    prompt = graph(speech__duration=6.0, sampler__seed=seed, sampler__steps=48)
    seen = play("survivesAClosedTab", renderer, prompt)
    assert seen["live"]["mode"] == "live"
    assert shows_image(seen["live"])
    assert "/view?filename=avatar_00001_.mp4" in seen["end"]["src"]
    assert shows_image(seen["end"])


def test_names_are_filled_in_as_by_native_nodes(play, graph):
    prefix = "names/%date:yyyy%/%FlashTalk_ChunkSampler.seed%_x"
    seen = play("fillsInNames", "nodes2", graph(preview__filename_prefix=prefix, sampler__seed=17))
    assert "/view?filename=17_x_00001_.mp4" in seen["src"]
    assert f"subfolder=names%2F{seen['year']}&" in seen["src"]
    assert not seen["pageErrors"]


@pytest.mark.parametrize("renderer", RENDERERS)
def test_a_subgraph_shows_the_preview_of_the_node_within(play, graph, renderer):
    prompt = graph(speech__duration=3.0, sampler__seed=18 + RENDERERS.index(renderer))
    seen = play("showsASubgraph", renderer, prompt)
    assert seen["widgets"].count("flashtalk_preview") == 1
    assert seen["isVisible"]
    for name in ("live", "end", "again"):
        assert shows_image(seen[name]), name
    assert seen["live"]["mode"] == "live"
    assert "/view?filename=avatar_00001_.mp4" in seen["again"]["src"]
    assert "flashtalk_preview" not in seen["saved"]
    assert not seen["pageErrors"]


@pytest.mark.parametrize("renderer", RENDERERS)
def test_the_blueprint_is_in_the_library_and_runs(play, graph, renderer):
    seen = play("usesTheBlueprint", renderer, graph())
    assert seen["name"] == "custom_nodes.ComfyUI-FlashTalk"
    assert seen["inputs"][:2] == ["audio", "image"]
    assert {"seed", "prompt", "model", "filename_prefix"} < set(seen["inputs"])
    assert shows_image(seen["live"])
    assert seen["isVisible"]
    assert not seen["pageErrors"]
