"""A render that is stopped stops at once and leaves what it has."""

import uuid

import pytest

from .videos import measure

pytestmark = pytest.mark.comfyui

STEPS = 60
SOUND_S = 5.0
STOP_SHARE = 0.25
"""Of the render, that may be drawn between the request and the stop. One step is 0.2 % of it, one
group of frames 1 %; the rest is for a busy machine, which draws on while the request travels."""


@pytest.fixture
def running(comfy, listener, graph):
    """A render that would take minutes, its first chunk done."""
    prompt_id = comfy.queue(graph(sampler__steps=STEPS, speech__duration=SOUND_S))
    yield prompt_id, listener.wait_for(lambda message: message.kind == "preview")
    comfy.post("/interrupt")
    comfy.wait(prompt_id)


def drawn_share(listener):
    """Return how much of the render the bar shows."""
    states = [message.data["nodes"] for message in listener.of_kind("progress_state")]
    bars = [nodes["preview"] for nodes in states if "preview" in nodes]
    return max(bar["value"] / bar["max"] for bar in bars)


def assert_stopped(comfy, listener, prompt_id, share):
    listener.wait_for(lambda message: message.kind == "execution_interrupted")
    assert drawn_share(listener) - share < STOP_SHARE
    outcome = comfy.wait(prompt_id)
    assert not outcome.is_success
    assert outcome.messages["execution_interrupted"]["node_id"] == "preview"


def assert_part_plays(comfy, request):
    (folder,) = comfy.output.glob(f"{request.node.name}")
    part, state = sorted(folder.iterdir())
    assert part.name.endswith(".partial.mp4")
    assert state.name.endswith(".partial.state")
    found = measure(part)
    assert 28 <= found.num_frames < 25 * SOUND_S
    assert found.is_exact
    assert found.num_samples > 0


def test_a_global_interrupt_stops_the_render(comfy, listener, running, request):
    prompt_id, _ = running
    share = drawn_share(listener)
    comfy.post("/interrupt")
    assert_stopped(comfy, listener, prompt_id, share)
    assert_part_plays(comfy, request)


def test_an_interrupt_stops_its_own_prompt_only(comfy, listener, running, request):
    prompt_id, preview = running
    comfy.post("/interrupt", prompt_id=str(uuid.uuid4()))
    listener.wait_for(
        lambda message: message.kind == "progress_state" and message.at_s > preview.at_s + 1
    )
    share = drawn_share(listener)
    comfy.post("/interrupt", prompt_id=prompt_id)
    assert_stopped(comfy, listener, prompt_id, share)
    assert_part_plays(comfy, request)


def test_a_render_after_an_interrupt_is_whole(comfy, listener, running, graph):
    prompt_id, _ = running
    comfy.post("/interrupt")
    comfy.wait(prompt_id)
    outcome = comfy.render(graph(preview__filename_prefix="after_interrupt/avatar"))
    assert measure(comfy.video(outcome)).num_frames == 28
