"""The bundled model as a native one: ComfyUI runs it, and the video is the same."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from .graphs import SIZE_PX, TWO_CHUNKS_S, add_node
from .videos import decoded, measure

pytestmark = pytest.mark.comfyui

MOST_LEVELS, MEAN_LEVELS = 8, 0.1
"""Of 255, at any pixel and in the mean: rounding, 0.05 in the mean of two chunks without losses."""


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


def assert_alike(ours, theirs):
    difference = np.abs(ours - theirs)
    assert ours.shape == theirs.shape
    assert difference.mean() < MEAN_LEVELS
    assert difference.max() < MOST_LEVELS


def drawn(comfy, prompt):
    """Return the frames of a video as numbers."""
    path = comfy.video(comfy.render(prompt))
    assert measure(path).is_exact
    return decoded(path).astype(np.float32)


def test_a_video_of_two_chunks_is_that_of_the_own_transformer(comfy, graph, native_graph):
    settings = {"speech__duration": TWO_CHUNKS_S, "sampler__steps": 2, "sampler__rule": "euler"}
    settings |= {"preview__quality": 0}  # see below
    own = graph(**settings, preview__filename_prefix="own/avatar")
    assert_alike(drawn(comfy, own), drawn(comfy, native_graph(**settings)))


def test_a_lora_of_a_native_loader_is_that_of_the_own_node(comfy, server, graph, native_graph):
    folder = server.base / "models" / "loras"
    folder.mkdir(exist_ok=True)
    generator = torch.Generator().manual_seed(0)
    factors = {"A": torch.randn(4, 176, generator=generator) / 8}
    factors["B"] = torch.randn(384, 4, generator=generator) / 8
    names = (f"diffusion_model.blocks.{index}.ffn.0.lora" for index in range(6))
    tensors = {f"{name}_{key}.weight": factors[key].clone() for name in names for key in "AB"}
    save_file(tensors, folder / "drawn.safetensors")
    # The best quality: noise that the encoder drops would differ more than the images do.
    settings = {"sampler__steps": 2, "sampler__rule": "euler", "preview__quality": 0}
    own = graph(**settings, preview__filename_prefix="own_lora/avatar")
    plain = drawn(comfy, own)
    lora = {"model": ["loader", 0], "lora": "drawn.safetensors", "strength": 0.1}
    own = add_node(own, "lora", "FlashTalk_LoRA", **lora)
    own["sampler"]["inputs"]["model"] = ["lora", 0]
    native = native_graph(**settings)
    lora = {"model": ["parts", 0], "lora_name": "drawn.safetensors", "strength_model": 0.1}
    native = add_node(native, "lora", "LoraLoaderModelOnly", **lora)
    native["native"]["inputs"]["model"] = ["lora", 0]
    ours = drawn(comfy, own)
    assert np.abs(ours - plain).mean() > 2 * MEAN_LEVELS
    assert_alike(ours, drawn(comfy, native))


@pytest.mark.parametrize(
    ("node", "without_effect", "effect"),
    [
        ("EasyCache", {"reuse_threshold": 0.0}, {"reuse_threshold": 3.0}),
        ("FlashTalkTest_ScaledAttention", {"factor": 1.0}, {"factor": 0.5}),
    ],
)
def test_what_a_node_puts_into_a_model_reaches_the_steps(
    comfy, native_graph, node, without_effect, effect
):
    def patched(**values):
        prompt = native_graph(**settings)
        prompt = add_node(prompt, "patch", node, model=["parts", 0], **values)
        prompt["native"]["inputs"]["model"] = ["patch", 0]
        return drawn(comfy, prompt)

    settings = {"sampler__steps": 6, "sampler__rule": "euler", "preview__quality": 0}
    if node == "EasyCache":
        # Of six steps those between may be left out.
        common = {"start_percent": 0.0, "end_percent": 1.0, "verbose": False}
        without_effect, effect = without_effect | common, effect | common
    plain = drawn(comfy, native_graph(**settings))
    assert_alike(patched(**without_effect), plain)
    changed = patched(**effect)
    assert changed.shape == plain.shape
    assert np.abs(changed - plain).mean() > 2 * MEAN_LEVELS


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
