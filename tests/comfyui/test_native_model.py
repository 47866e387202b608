"""The bundled model as a native one: ComfyUI runs it, and the video is the same."""

import numpy as np
import pytest

from .graphs import SIZE_PX, TWO_CHUNKS_S, add_node
from .videos import decoded, measure

pytestmark = pytest.mark.comfyui

MOST_LEVELS, MEAN_LEVELS = 8, 0.05
"""Of 255, at any pixel and in the mean: none where it was tried, and H.264 makes more of a bit."""


@pytest.fixture
def native_graph(graph):
    """Make the chain with the bundled model as a native one in the place of the loader's."""

    def make(**settings):
        encoded = {"conditioning": ["parts", 4], "clip_vision_output": ["parts", 5]}
        given = {f"reference__{name}": link for name, link in encoded.items()}
        prompt = graph(**given, **settings)
        del prompt["loader"]
        prompt["sampler"]["inputs"]["model"] = ["native", 0]
        parts = {"image": ["image", 0], "size": SIZE_PX}
        prompt = add_node(prompt, "parts", "FlashTalkTest_NativeTiny", **parts)
        names = ("model", "model_patch", "vae", "audio_encoder")
        links = {name: ["parts", index] for index, name in enumerate(names)}
        return add_node(prompt, "native", "FlashTalk_ModelFromNative", **links)

    return make


def test_a_video_of_two_chunks_is_that_of_the_own_transformer(comfy, graph, native_graph):
    settings = {"speech__duration": TWO_CHUNKS_S, "sampler__steps": 2, "sampler__rule": "euler"}
    own = comfy.video(comfy.render(graph(**settings, preview__filename_prefix="own/avatar")))
    native = comfy.video(comfy.render(native_graph(**settings)))
    assert measure(native).is_exact
    ours, theirs = (decoded(path).astype(np.float32) for path in (own, native))
    difference = np.abs(ours - theirs)
    assert ours.shape == theirs.shape
    assert difference.mean() < MEAN_LEVELS
    assert difference.max() < MOST_LEVELS


def test_a_native_render_is_kept_and_copied(comfy, native_graph):
    first = comfy.render(native_graph(preview__keep_gb=1.0, preview__filename_prefix="kept/one"))
    again = comfy.render(native_graph(preview__keep_gb=1.0, preview__filename_prefix="kept/two"))
    assert again.executed == {"preview"}
    assert measure(comfy.video(again)).num_frames == measure(comfy.video(first)).num_frames


def test_an_interrupt_stops_a_native_render(comfy, listener, native_graph):
    prompt_id = comfy.queue(native_graph(sampler__steps=100, speech__duration=5.0))
    listener.wait_for(lambda message: message.kind == "progress_state" and is_drawing(message))
    comfy.post("/interrupt")
    outcome = comfy.wait(prompt_id)
    assert outcome.messages["execution_interrupted"]["node_id"] == "preview"


def is_drawing(message):
    """Whether the bar of the render has moved."""
    return message.data["nodes"].get("preview", {}).get("value", 0) > 0
