"""Whatever one input of a node can be wrong about, the message names that input."""

from functools import partial
from math import nan

import pytest
import torch

pytestmark = pytest.mark.cpu

CUSTOM = {"size": "custom", "width": 32, "height": 32}
WIDE = [[torch.zeros(1, 5, 7), {}]]
"""Prompt that was encoded for another model."""

# By node and input: a wrong value, which a connection may carry where a widget has a range.
WRONG = {
    ("AudioEncode", "audio"): {"waveform": torch.zeros(2, 1, 9), "sample_rate": 16_000},
    ("AudioEncode", "mouth_strength"): 9.0,
    ("AudioEncode", "start"): 99.0,
    ("AudioEncode", "duration"): -1.0,
    ("AudioEncode", "loudness"): 9.0,
    ("AudioEncode", "soundtrack"): {"waveform": torch.zeros(2, 1, 9), "sample_rate": 16_000},
    ("Reference", "image"): torch.zeros(2, 32, 32, 3),
    ("Reference", "prompt"): "\ud800",
    ("Reference", "prompt_changes"): "later: she smiles",
    ("Reference", "size"): CUSTOM | {"width": 33},
    ("Reference", "conditioning"): 5,
    ("Reference", "clip_vision_output"): 5,
    ("Reference", "mask"): torch.ones(1, 9, 9),
    ("ModelLoader", "model"): "gone",
    ("ModelLoader", "vae"): "gone.safetensors",
    ("ModelLoader", "text_encoder"): "gone.safetensors",
    ("ModelLoader", "clip_vision"): "gone.safetensors",
    ("ModelLoader", "audio_encoder"): "gone.safetensors",
    ("ModelLoader", "audio_layers"): "gone.safetensors",
    ("ModelLoader", "attention"): "sage",
    ("ModelLoader", "device"): "gpu:7",
    ("ModelLoader", "devices"): "cpu,mps",
    ("ModelLoader", "cluster"): "head",
    ("ModelLoader", "limits"): "draw=5",
    ("ModelLoader", "dtype"): "float16",
    ("ModelLoader", "lora"): "gone.safetensors",
    ("ModelLoader", "lora_strength"): 99.0,
    ("LoRA", "lora"): "gone.safetensors",
    ("LoRA", "strength"): 99.0,
    ("ChunkSampler", "model"): {"text_encoder": "none"},
    ("ChunkSampler", "reference"): {"conditioning": WIDE},
    ("ChunkSampler", "seed"): -1,
    ("ChunkSampler", "steps"): 0,
    ("ChunkSampler", "rule"): "guess",
    ("ChunkSampler", "shift"): 0.0,
    ("ChunkSampler", "motion_frames"): 4,
    ("ChunkSampler", "colour_strength"): 2.0,
    ("ChunkSampler", "colour_area"): "hair",
    ("ChunkSampler", "join_frames"): 26,
    ("ChunkSampler", "chunk_frames"): 34,
    ("ParallelDecode", "device"): "gpu:7",
    ("ParallelDecode", "latents_per_call"): -1,
    ("ParallelDecode", "grid"): "2x2",
    ("ParallelDecode", "devices"): "1",
    ("ParallelDecode", "light_vae"): "gone.safetensors",
    ("FrameStage", "upscale_model"): 5,
    ("FrameStage", "interp_model"): 5,
    ("StreamPreview", "filename_prefix"): "folder/",
    ("StreamPreview", "quality"): 99,
    ("StreamPreview", "keep_gb"): nan,
    ("FramesToImages", "video"): b"no video",
    ("FramesToImages", "start"): 99.0,
    ("FramesToImages", "num_frames"): -1,
    ("FramesToImages", "limit_gb"): nan,
    ("Batch", "model"): {"text_encoder": "none"},
    ("Batch", "manifest"): "gone.csv",
    ("Batch", "image"): torch.zeros(1, 9),
    ("Batch", "audio"): {"waveform": torch.zeros(2, 1, 9), "sample_rate": 16_000},
    ("Batch", "prompt"): "\ud800",
    ("Batch", "seed"): -1,
    ("Batch", "steps"): -1,
    ("Batch", "folder"): "../outside",
    ("Batch", "quality"): 99,
}
FINE = {
    ("Reference", "fit"),
    ("ModelLoader", "speed"),
    ("ModelLoader", "float8"),
    ("ModelLoader", "memory"),
    ("StreamPreview", "container"),
    ("Batch", "size"),
    ("Batch", "fit"),
    # What other nodes made was checked there.
    ("ChunkSampler", "speech"),
    ("LoRA", "model"),
    ("ParallelDecode", "chunks"),
    ("ParallelDecode", "motion_vae"),  # without a light one it has no effect, see test_light_vae.py
    ("StreamPreview", "frames"),
    ("FrameStage", "frames"),
    ("FrameStage", "scale"),  # without a model it has no effect, see test_frame_stage.py
}
"""Inputs of which every value that can be chosen is right on a CPU."""
ELSEWHERE_TRIED = {"FlashTalk_Live", "FlashTalk_ModelFromNative", "FlashTalk_TwoSpeakers"}
"""A session, models of ComfyUI's, and speeches of other nodes: in tests of their own."""
# Subjects of errors that need a GPU or come late, and what each node calls them.
ELSEWHERE = [
    ("speed", "ModelLoader", "speed"),
    ("float8", "ModelLoader", "float8"),
    ("memory", "ModelLoader", "memory"),
    ("dtype", "ModelLoader", "dtype"),
    ("memory", "ChunkSampler", "model"),
    ("vae", "ChunkSampler", "model"),
    ("text", "ChunkSampler", "model"),
    ("device", "ChunkSampler", "model"),
    ("devices", "ModelLoader", "devices"),
    ("cluster", "ModelLoader", "cluster"),
    ("prompt", "ChunkSampler", "reference"),
    ("prompt_changes", "ChunkSampler", "reference"),
    ("size", "ChunkSampler", "reference"),
    ("portrait", "ChunkSampler", "reference"),
    ("speakers", "ChunkSampler", "speech"),
    ("sound_start", "ChunkSampler", "speech"),
    ("mouth_strength", "ChunkSampler", "speech"),
    ("vae_device", "ParallelDecode", "device"),
    ("memory", "ParallelDecode", "chunks"),
    ("crf", "StreamPreview", "quality"),
    ("soundtrack", "ChunkSampler", "speech"),
    ("upscale", "StreamPreview", "frames"),
    ("speakers", "StreamPreview", "frames"),
]


@pytest.fixture
def usual(rendered, pack, model, make):
    """Make values that are right for a node, by its name."""

    def values(name):
        given = {
            each.id: each.default
            for each in pack.nodes[f"FlashTalk_{name}"].GET_SCHEMA().inputs
            if hasattr(each, "default")
        }
        if name == "AudioEncode":
            given["audio"] = make.audio()
        elif name == "Reference":
            given |= {"image": make.portrait(), "size": CUSTOM}
        elif name == "ChunkSampler":
            given |= {"model": model, "speech": pack.speech(), "reference": pack.reference()}
        elif name == "LoRA":
            given["model"] = model
        elif name == "ParallelDecode":
            given["chunks"] = pack.frames(model)
        elif name in ("StreamPreview", "FrameStage"):
            given["frames"] = pack.frames(model)
        elif name == "FramesToImages":
            given["video"] = pack["comfy_api.latest"].InputImpl.VideoFromFile(str(rendered.path))
        elif name == "Batch":
            given |= {"model": model, "image": make.portrait(), "audio": make.audio()}
        return given

    return values


@pytest.fixture
def execute(pack):
    """Run a node whatever its inputs are."""

    def run(name, values):
        io = pack["comfy_api.latest"].io
        node = pack.nodes[f"FlashTalk_{name}"]
        if node.GET_SCHEMA().is_input_list:
            values = {key: [value] for key, value in values.items()}
        return io.locked_copy(node, io.HiddenValues()).execute(**values)

    return run


@pytest.fixture
def wrong_value(pack, tmp_path, monkeypatch):
    """Return the wrong value of an input, made where it is what another node returns."""

    def make(name, blamed):
        value = WRONG[name, blamed]
        if blamed == "model" and name in ("ChunkSampler", "Batch"):
            return pack.run("ModelLoader", **value).args[0]
        if (name, blamed) == ("ChunkSampler", "reference"):
            return pack.reference(**value)
        if blamed == "video":
            path = tmp_path / "video.mp4"
            path.write_bytes(value)
            return pack["comfy_api.latest"].InputImpl.VideoFromFile(str(path))
        if blamed == "dtype":  # this CPU computes rightly in each
            errors = pack["flashtalk_core.errors"]
            half = pack["flashtalk_core.models.half_precision"]
            refuse = partial(errors.require, False, "half precision: use 'float32'")
            monkeypatch.setattr(half, "check_half_precision", lambda *_: refuse())
        if blamed in ("lora_strength", "strength"):
            folder = tmp_path / "models/loras"
            folder.mkdir(parents=True)
            (folder / "style.safetensors").touch()
        return value

    return make


def test_every_input_of_every_node_is_tried(pack):
    inputs = {
        (name.removeprefix("FlashTalk_"), each.id)
        for name, node in pack.nodes.items()
        for each in node.GET_SCHEMA().inputs
        if name not in ELSEWHERE_TRIED
    }
    assert inputs == {*WRONG, *FINE}
    assert not FINE & {*WRONG}


@pytest.mark.parametrize(("name", "blamed"), WRONG)
def test_the_input_that_is_wrong_is_blamed(pack, usual, execute, wrong_value, name, blamed):
    values = usual(name) | {blamed: wrong_value(name, blamed)}
    if blamed in ("lora_strength", "strength"):
        values["lora"] = "style.safetensors"
    with pytest.raises(pack["flashtalk_core.errors"].FlashTalkError) as caught:
        execute(name, values)
    title = pack.nodes[f"FlashTalk_{name}"].GET_SCHEMA().display_name
    opening = f"{title}, input '{blamed}': "
    if (name, blamed) == ("ModelLoader", "model"):  # whose other parts are not there either
        opening = f"{title}: 5 parts of the model are missing or cannot be used:\n- input 'model': "
    assert str(caught.value).startswith(opening)


@pytest.mark.parametrize(("subject", "name", "blamed"), ELSEWHERE)
def test_each_node_has_an_input_for_what_came_before_it(pack, subject, name, blamed):
    error = pack["flashtalk_core.errors"].InvalidInputError("no good", subject=subject)
    node = pack.nodes[f"FlashTalk_{name}"]
    default = {"ParallelDecode": "chunks", "StreamPreview": "frames"}.get(name, "steps")
    with (
        pytest.raises(ValueError, match="no good") as caught,
        pack["nodes.graph.errors"].attribute_errors(node, default),
    ):
        raise error
    assert f", input '{blamed}': " in str(caught.value)
