"""The encoders reproduce the golden vectors on a CPU in float32."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from flashtalk_core.config.networks import AudioEncoderConfig, ClipVisionConfig, TextEncoderConfig
from flashtalk_core.models.encoders.audio import AudioEncoder
from flashtalk_core.models.encoders.clip_vision import ClipVision
from flashtalk_core.models.encoders.text import TextEncoder
from flashtalk_core.settings import from_settings
from flashtalk_core.weights.mapping.key_maps import AUDIO_KEYS, TEXT_KEYS, clip_keys

pytestmark = pytest.mark.cpu

GOLDEN = Path(__file__).parents[1] / "golden"
BOUND = 2e-5


def read_golden(name):
    with safe_open(GOLDEN / f"{name}.safetensors", "pt") as file:
        config = json.loads(file.metadata()["config"])
        return config, {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118


def load_golden_weights(model, tensors, keys):
    state = {}
    for name, tensor in tensors.items():
        name = name.removeprefix("weights.")
        if name.startswith(("in.", "out.")) or keys.is_ignored(name):
            continue
        for target in keys.rename(name):
            state[target.name] = tensor.chunk(target.num_parts)[target.part]
    own = model.state_dict()
    model.load_state_dict({key: value.reshape(own[key].shape) for key, value in state.items()})
    return model.eval()


def error_of(result, expected):
    assert result.shape == expected.shape
    return float((result - expected).abs().max() / expected.std())


def test_clip_vision_reproduces_the_golden_tokens():
    config, tensors = read_golden("clip")
    model = ClipVision(from_settings(ClipVisionConfig, config))
    load_golden_weights(model, tensors, clip_keys(config["num_layers"]))
    with torch.no_grad():
        tokens = model(tensors["in.image"][:, :, -1])
    assert error_of(tokens, tensors["out.tokens"]) < BOUND


def test_text_encoder_reproduces_the_golden_context():
    config, tensors = read_golden("umt5")
    model = TextEncoder(from_settings(TextEncoderConfig, config | {"vocab_size": config["vocab"]}))
    load_golden_weights(model, tensors, TEXT_KEYS)
    mask = tensors["in.mask"]
    with torch.no_grad():
        context = model(tensors["in.ids"], mask)[:, : int(mask.sum())]
    assert error_of(context, tensors["out.context"]) < BOUND


@pytest.mark.parametrize(("key", "seconds"), [("out.embedding8s", 8), ("out.embedding3s", 3)])
def test_audio_encoder_reproduces_the_golden_hidden_states(key, seconds):
    config, tensors = read_golden("wav2vec2")
    model = AudioEncoder(from_settings(AudioEncoderConfig, config))
    load_golden_weights(model, tensors, AUDIO_KEYS)
    samples = tensors["in.speech8s"][None, : seconds * 16_000]
    with torch.no_grad():
        hidden = model(samples, seconds * 25)
    assert error_of(hidden[0], tensors[key]) < BOUND
