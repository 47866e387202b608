"""Audio encoder: both kinds of norm, frames, training."""

import subprocess
import sys

import pytest
import torch

from flashtalk_core.config.networks import AudioEncoderConfig
from flashtalk_core.models.encoders.audio import AudioEncoder, normalise_samples

pytestmark = pytest.mark.cpu

SIZES = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "conv_dim": (8,) * 7,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
}
BASE = AudioEncoderConfig(**SIZES)
LARGE = AudioEncoderConfig(
    **SIZES, conv_bias=True, feat_extract_norm="layer", do_stable_layer_norm=True
)


def build(config):
    torch.manual_seed(0)
    return AudioEncoder(config)


def speech(num_samples=16_000):
    return torch.randn(1, num_samples, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("config", [BASE, LARGE], ids=["base", "large"])
def test_every_layer_is_returned_at_the_frame_rate(config):
    with torch.no_grad():
        hidden = build(config).eval()(speech(), 25)
    assert hidden.shape == (1, 25, 3, 16)
    assert hidden.isfinite().all()


@pytest.mark.parametrize("num_taps", [8, 7], ids=["even", "odd"])
@pytest.mark.parametrize("bias", [False, True], ids=["plain", "biased"])
@pytest.mark.parametrize("norm", ["group", "layer"])
@pytest.mark.parametrize("stable", [False, True], ids=["behind", "before"])
def test_hidden_states_are_those_the_library_lists(num_taps, bias, norm, stable):
    """Without resampling the result is the library's own list of hidden states."""
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    sizes = SIZES | {
        "num_conv_pos_embeddings": num_taps, "conv_bias": bias, "feat_extract_norm": norm,
        "do_stable_layer_norm": stable,
    }  # fmt: skip
    model = build(AudioEncoderConfig(**sizes)).eval()
    unmasked = {"mask_time_prob": 0.0, "mask_feature_prob": 0.0}
    library = Wav2Vec2Model(Wav2Vec2Config(**sizes, **unmasked)).eval()
    library.load_state_dict(model.state_dict())
    samples = speech(48_000)
    with torch.no_grad():
        expected = library(normalise_samples(samples), output_hidden_states=True)
        hidden = model(samples, expected.last_hidden_state.shape[1])
    # Releases differ in the last entry of the list only; the last state itself is normed.
    listed = [*expected.hidden_states[1:-1], expected.last_hidden_state]
    torch.testing.assert_close(hidden, torch.stack(listed, 2), atol=1e-5, rtol=1e-5)


def test_loudness_does_not_matter_when_the_audio_is_normalised():
    model = build(BASE).eval()
    with torch.no_grad():
        torch.testing.assert_close(model(speech() * 9, 25), model(speech(), 25))


def test_loudness_matters_when_it_is_not():
    model = build(AudioEncoderConfig(**SIZES, do_normalize=False)).eval()
    with torch.no_grad():
        change = model(speech() * 1e-3, 25) - model(speech(), 25)
    assert float(change.abs().max()) > 1e-3


def test_silence_stays_zero_and_finite():
    assert not normalise_samples(torch.zeros(1, 400)).any()


@pytest.mark.parametrize("config", [BASE, LARGE], ids=["base", "large"])
def test_training_reaches_every_parameter_under_autocast(config):
    model = build(config).train()
    with torch.autocast("cpu", torch.bfloat16):
        hidden = model(speech(), 25)
    hidden.float().square().mean().backward()
    without = [name for name, p in model.named_parameters() if p.grad is None]
    assert without == []
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_training_mode_draws_nothing_at_random():
    model = build(BASE).train()
    with torch.no_grad():
        assert model(speech(), 25).equal(model(speech(), 25))


def test_a_network_without_memory_is_built_without_the_compiler():
    """PyTorch imports its compiler, seconds long, for a draw or a norm on the meta device."""
    script = (
        "import sys, torch\n"
        "from flashtalk_core.config.avatar import AvatarConfig\n"
        "from flashtalk_core.models.encoders.audio import AudioEncoder\n"
        "from flashtalk_core.models.encoders.clip_vision import ClipVision\n"
        "from flashtalk_core.models.encoders.text import TextEncoder\n"
        "from flashtalk_core.models.transformer.model import AvatarDiT\n"
        "config = AvatarConfig()\n"
        "with torch.device('meta'):\n"
        "    AudioEncoder(config.audio), ClipVision(config.clip), TextEncoder(config.text)\n"
        "    AvatarDiT(config.dit)\n"
        "sys.exit(' '.join({'torch._dynamo', 'sympy', 'transformers'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.stderr.strip() == ""
