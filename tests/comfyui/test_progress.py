"""What the page is told while a render runs."""

import io
from itertools import pairwise

import pytest
from PIL import Image

from .client import Client
from .graphs import SIZE_PX, TWO_CHUNKS_S, avatar_graph
from .websocket import Listener

pytestmark = pytest.mark.comfyui

STEPS = 20
NUM_CHUNKS = 2
LARGEST_JUMP = 0.3
"""Of the whole bar. ComfyUI sends at most ten messages a second, so quick machines jump further."""


@pytest.fixture(scope="module")
def messages(server):
    """All that one render says."""
    comfy = Client(server.url, server.base / "output")
    settings = {
        "sampler.steps": STEPS,
        "speech.duration": TWO_CHUNKS_S,
        "preview.filename_prefix": "progress/avatar",
    }
    with Listener(server.port, comfy.id) as listener:
        comfy.render(avatar_graph(settings))
        listener.wait_for(lambda message: message.kind == "execution_success")
        return listener


def test_the_bar_moves_on_without_gaps_to_its_end(messages):
    states = [message.data["nodes"] for message in messages.of_kind("progress_state")]
    bar = [nodes["preview"] for nodes in states if "preview" in nodes]
    shares = [0.0, *(state["value"] / state["max"] for state in bar)]
    jumps = [after - before for before, after in pairwise(shares)]
    assert min(jumps) >= 0
    assert max(jumps) <= LARGEST_JUMP
    assert shares[-1] == 1.0


def test_every_chunk_shows_a_picture(messages):
    previews = messages.of_kind("preview")
    assert len(previews) >= NUM_CHUNKS
    for preview in previews:
        with Image.open(io.BytesIO(preview.data)) as picture:
            assert picture.format == "JPEG"
            assert picture.width == picture.height >= SIZE_PX


def test_the_node_says_how_far_it_is(messages):
    texts = [message.data.decode("utf-8", "replace") for message in messages.of_kind("binary")]
    for chunk in range(1, NUM_CHUNKS + 1):
        assert any(f"chunk {chunk}/{NUM_CHUNKS}" in text for text in texts)
