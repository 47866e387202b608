"""A render that is stopped stops at once and leaves what it has."""

import time
import uuid

import pytest

from .videos import measure

pytestmark = pytest.mark.comfyui

STEPS = 60
SOUND_S = 5.0
STOP_LIMIT_S = 0.5
"""A step takes some 0.05 s here, a group of frames 0.1 s; the rest of the render 10 s."""


@pytest.fixture
def running(comfy, listener, graph):
    """A render that would take minutes, its first chunk done."""
    prompt_id = comfy.queue(graph(sampler__steps=STEPS, speech__duration=SOUND_S))
    yield prompt_id, listener.wait_for(lambda message: message.kind == "preview")
    comfy.post("/interrupt")
    comfy.wait(prompt_id)


def assert_stopped(comfy, listener, prompt_id, asked_s):
    stopped = listener.wait_for(lambda message: message.kind == "execution_interrupted")
    assert stopped.at_s - asked_s < STOP_LIMIT_S
    outcome = comfy.wait(prompt_id)
    assert not outcome.is_success
    assert outcome.messages["execution_interrupted"]["node_id"] == "preview"


def assert_part_plays(comfy, request):
    (folder,) = comfy.output.glob(f"{request.node.name}")
    (part,) = folder.iterdir()
    assert part.name.endswith(".partial.mp4")
    found = measure(part)
    assert 28 <= found.num_frames < 25 * SOUND_S
    assert found.is_exact
    assert found.num_samples > 0


def test_a_global_interrupt_stops_the_render(comfy, listener, running, request):
    prompt_id, _ = running
    asked_s = time.monotonic()
    comfy.post("/interrupt")
    assert_stopped(comfy, listener, prompt_id, asked_s)
    assert_part_plays(comfy, request)


def test_an_interrupt_stops_its_own_prompt_only(comfy, listener, running, request):
    prompt_id, preview = running
    comfy.post("/interrupt", prompt_id=str(uuid.uuid4()))
    listener.wait_for(
        lambda message: message.kind == "progress_state" and message.at_s > preview.at_s + 1
    )
    asked_s = time.monotonic()
    comfy.post("/interrupt", prompt_id=prompt_id)
    assert_stopped(comfy, listener, prompt_id, asked_s)
    assert_part_plays(comfy, request)


def test_a_render_after_an_interrupt_is_whole(comfy, listener, running, graph):
    prompt_id, _ = running
    comfy.post("/interrupt")
    comfy.wait(prompt_id)
    outcome = comfy.render(graph(preview__filename_prefix="after_interrupt/avatar"))
    assert measure(comfy.video(outcome)).num_frames == 28
