"""Numbers of the method, and what is said about impossible ones."""

import dataclasses
import json
import math

import pytest

from flashtalk_core.config.avatar import AvatarConfig
from flashtalk_core.config.chunk import ChunkConfig
from flashtalk_core.config.networks import (
    AudioEncoderConfig,
    ClipVisionConfig,
    DiTConfig,
    TextEncoderConfig,
    VAEConfig,
)
from flashtalk_core.config.sampling import SamplingConfig
from flashtalk_core.errors import InvalidInputError
from flashtalk_core.settings import from_settings

pytestmark = pytest.mark.cpu

ALL = (
    AudioEncoderConfig,
    AvatarConfig,
    ChunkConfig,
    ClipVisionConfig,
    DiTConfig,
    SamplingConfig,
    TextEncoderConfig,
    VAEConfig,
)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"steps": 0}, "steps 0: use 1 to 100 (4 for distilled weights)"),
        ({"steps": 1000}, "steps 1000: use 1 to 100 (4 for distilled weights)"),
        ({"steps": -1}, "steps -1: use 1 to 100 (4 for distilled weights)"),
        ({"shift": 0.0}, "shift 0.0: use a number above 0, up to 100"),
        ({"shift": math.nan}, "shift nan: use a number above 0, up to 100"),
        ({"shift": math.inf}, "shift inf: use a number above 0, up to 100"),
        ({"rule": "heun"}, "rule 'heun': use 'renoise' or 'euler'"),
        ({"seed": -1}, "seed -1: use a whole number from 0 to 2**63 - 1"),
        ({"seed": 2**63}, "seed 9223372036854775808: use a whole number from 0 to 2**63 - 1"),
        ({"colour_strength": 1.5}, "colour strength 1.5: use 0 (off) to 1 (full)"),
        ({"colour_area": "mouth"}, "colour area 'mouth': use 'frame' or 'no-mouth'"),
        ({"colour_strength": math.nan}, "colour strength nan: use 0 (off) to 1 (full)"),
        ({"join_frames": 26}, "join frames 26: use 0 (off) to 25"),
        ({"join_frames": -1}, "join frames -1: use 0 (off) to 25"),
        ({"mouth_strength": 4}, "mouth strength 4: use 0 to 3 (1 is as trained)"),
        ({"mouth_strength": -0.1}, "mouth strength -0.1: use 0 to 3 (1 is as trained)"),
    ],
    ids=str,
)
def test_sampling_that_cannot_be(values, message):
    with pytest.raises(InvalidInputError) as caught:
        SamplingConfig(**values)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "values",
    [
        {"steps": 1},
        {"steps": 100},
        {"seed": 2**63 - 1},
        {"colour_strength": 0},
        {"join_frames": 25},
        {"mouth_strength": 3},
        {"rule": "euler"},
    ],
    ids=str,
)
def test_sampling_at_its_limits(values):
    SamplingConfig(**values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num_frames": 32}, "chunk frames 32: need 4n+1 and at least 5, for example 33"),
        ({"num_frames": 1}, "chunk frames 1: need 4n+1 and at least 5, for example 33"),
        (
            {"num_motion_frames": 4},
            "motion frames 4: need 1, 5, 9 ... and fewer than the 33 frames of a "
            "chunk; use 29 or less, or longer chunks",
        ),
        (
            {"num_motion_frames": 33},
            "motion frames 33: need 1, 5, 9 ... and fewer than the 33 frames of a "
            "chunk; use 29 or less, or longer chunks",
        ),
        (
            {"num_motion_frames": -3},
            "motion frames -3: need 1, 5, 9 ... and fewer than the 33 frames of a "
            "chunk; use 29 or less, or longer chunks",
        ),
    ],
    ids=str,
)
def test_chunks_that_cannot_be(values, message):
    with pytest.raises(InvalidInputError) as caught:
        ChunkConfig(**values)
    assert str(caught.value) == message


def test_models_that_cannot_be():
    with pytest.raises(InvalidInputError, match="DiT width 100 with 3 heads"):
        DiTConfig(dim=100, num_heads=3)
    with pytest.raises(InvalidInputError, match="DiT width 9 with 3 heads"):
        DiTConfig(dim=9, num_heads=3)
    with pytest.raises(InvalidInputError, match="VAE statistics: 16 and 16 values for 8 channels"):
        VAEConfig(z_dim=8)


@pytest.mark.parametrize("config", ALL, ids=lambda config: config.__name__)
def test_configurations_cannot_be_changed(config):
    made = config()
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(made, dataclasses.fields(config)[0].name, 1)


def test_defaults_are_the_authors():
    avatar = AvatarConfig()
    dit, chunk, sampling = avatar.dit, avatar.chunk, avatar.sampling
    assert (dit.dim, dit.num_heads, dit.num_layers, dit.head_dim) == (5120, 40, 40, 128)
    assert (dit.in_dim - dit.out_dim, dit.eps, dit.text_len) == (20, 1e-6, 512)
    assert (chunk.num_frames, chunk.num_motion_frames, chunk.num_new_frames) == (33, 5, 28)
    assert (sampling.steps, sampling.shift, sampling.rule) == (4, 5.0, "renoise")
    assert avatar.vae.spatial_stride == 8
    assert avatar.size_px in avatar.known_sizes_px


def test_json_may_leave_fields_out_and_bring_others():
    text = '{"dim": 96, "num_heads": 4, "patch_size": [1, 2, 2], "_class_name": "Model"}'
    config = from_settings(DiTConfig, json.loads(text))
    assert config == DiTConfig(dim=96, num_heads=4)
    assert isinstance(config.patch_size, tuple)


@pytest.mark.parametrize("config", [DiTConfig, VAEConfig, AudioEncoderConfig, ChunkConfig])
def test_a_configuration_survives_json(config):
    made = config()
    assert from_settings(config, json.loads(json.dumps(dataclasses.asdict(made)))) == made
