"""Audio encoder: both kinds of norm, frames, training."""

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


@pytest.mark.parametrize("config", [BASE, LARGE], ids=["base", "large"])
def test_hidden_states_are_those_the_library_lists(config):
    """Without resampling the result is the library's own list of hidden states."""
    from transformers import Wav2Vec2Model

    from flashtalk_core.models.encoders.audio import _library_config

    model = build(config).eval()
    library = Wav2Vec2Model(_library_config(config)).eval()
    library.load_state_dict(model.state_dict())
    samples = speech()
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
