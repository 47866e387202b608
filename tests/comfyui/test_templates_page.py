"""The first minute in ComfyUI's own page, on a server whose input folder is empty."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from .server import PACK_NAME, Server, make_base
from .videos import measure

pytestmark = pytest.mark.comfyui

JS = Path(__file__).parents[1] / "js"
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
NAMES = [
    "1_first_talking_head",
    "2_production_14b",
    "2b_infinitetalk",
    "3_long_speech_prompts",
    "4_generate_then_animate",
    "5_several_gpus",
    "6_live_microphone",
    "7_live_speech",
    "8_native_model",
    "9_two_speakers",
]
FILES = [
    "wan_2.1_vae.safetensors",
    "umt5_xxl_fp8_e4m3fn_scaled.safetensors",
    "clip_vision_h.safetensors",
    "wav2vec2-chinese-base_fp16.safetensors",
]
READABLE_SCALE = 8 / 14
"""Below it the classic renderer draws no text: 8 of the 14 pixels of its letters."""


@pytest.fixture(scope="module")
def fresh(install, tmp_path_factory):
    """A ComfyUI that was installed a minute ago."""
    base = tmp_path_factory.mktemp("fresh")
    server = Server(install, make_base(base, Path(__file__).with_name("probe_nodes.py")))
    try:
        server.wait_until_ready()
        yield server
    finally:
        server.stop()


@pytest.fixture
def use(fresh):
    """Play a scenario on the page and return what was seen."""
    if not (shutil.which("node") and (JS / "node_modules").is_dir() and Path(CHROMIUM).exists()):
        pytest.skip("needs Node.js, npm ci in tests/js, and Debian's chromium")

    def use(scenario, renderer="classic", language="en"):
        done = subprocess.run(
            ["node", JS / "templates.mjs", scenario, fresh.url, renderer, language, PACK_NAME],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr + fresh.log()[-3000:]
        return json.loads(done.stdout)

    return use


@pytest.mark.parametrize(("language", "title"), [("en", "First talking head"), ("zh", "会说话")])
def test_the_browser_shows_cards_with_titles_and_images_in_order(use, language, title):
    seen = use("browses", language=language)
    assert [card["name"] for card in seen["cards"]] == NAMES
    assert title in seen["cards"][0]["text"]
    for card in seen["cards"]:
        assert f"{card['name'].partition('_')[0]}. " in card["text"]
        assert "_" not in card["text"]
        assert card["imagePx"] > 0
    assert not seen["pageErrors"]


@pytest.mark.parametrize("renderer", ["classic", "nodes2"])
def test_the_first_template_opens_without_an_error_and_makes_one_video(use, fresh, renderer):
    assert not [path for path in (fresh.base / "input").rglob("*") if path.is_file()]
    before = set((fresh.base / "output").rglob("*.mp4"))
    seen = use("runs", renderer)
    assert (seen["faulty"], seen["errors"]) == ([], 0)
    assert seen["scale"] >= READABLE_SCALE
    made = set((fresh.base / "output").rglob("*.mp4")) - before
    visible = [path for path in made if ".flashtalk" not in path.parts]
    assert len(visible) == 1
    assert measure(visible[0]).num_frames == 28
    assert not seen["pageErrors"]


def test_the_second_template_offers_its_files_for_download(use):
    seen = use("misses")
    if seen["panel"] is None:
        pytest.skip("this page lists no missing models")
    for name in FILES:
        assert name in seen["panel"]
    assert set(seen["faulty"]) <= {"FlashTalk_ModelLoader"}
    assert seen["scale"] >= READABLE_SCALE


@pytest.mark.parametrize(
    ("language", "shown"), [("en", "tiny (bundled)"), ("zh", "tiny\uff08自带\uff09")]
)
def test_menus_are_shown_in_the_language_of_the_page_and_saved_as_they_are(use, language, shown):
    seen = use("translates", language=language)
    assert (seen["shown"], seen["value"]) == (shown, "tiny (bundled)")
