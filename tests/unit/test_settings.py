"""Settings out of JSON: types and limits are reported by key, before anything is built."""

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
from flashtalk_core.settings import check_settings, from_settings

pytestmark = pytest.mark.cpu

NO_NUMBERS = ("5", None, True, [5], {"a": 5}, math.nan, math.inf, -math.inf, 10**4000, -(10**4000))
KINDS = (
    AudioEncoderConfig,
    ChunkConfig,
    ClipVisionConfig,
    DiTConfig,
    SamplingConfig,
    TextEncoderConfig,
    VAEConfig,
)


def refusal(kind, values):
    with pytest.raises(InvalidInputError) as caught:
        from_settings(kind, values, "a.json: part")
    message = str(caught.value)
    assert message.startswith("a.json: part")
    assert message.isprintable()
    assert len(message) < 300
    return message


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", NO_NUMBERS, ids=lambda value: repr(value)[:12])
def test_every_settings_field_rejects_values_of_other_kinds(kind, value):
    for name, default in vars(kind()).items():
        if isinstance(default, bool) and value is True:
            continue
        if isinstance(default, tuple) and isinstance(value, list):
            continue  # a list of another length or kind: below
        assert f"part.{name} " in refusal(kind, {name: value})


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_configuration_writes_it_reads(kind):
    assert from_settings(kind, json.loads(json.dumps(vars(kind())))) == kind()


@pytest.mark.parametrize(
    ("kind", "values", "said"),
    [
        (DiTConfig, {"num_layers": 0}, "num_layers 0: use a whole number from 1 to 128"),
        (DiTConfig, {"num_layers": 20_000}, "num_layers 20000: use a whole number from 1 to 128"),
        (DiTConfig, {"num_layers": 2.0}, "num_layers 2.0: use a whole number"),
        (DiTConfig, {"dim": 2**40}, "dim 1099511627776: use a whole number from 1 to 65536"),
        (DiTConfig, {"eps": 0}, "eps 0: use a number from 1e-20 to 0.1"),
        (DiTConfig, {"patch_size": [1, 2]}, "patch_size [1, 2]: use a list of 3, not 2"),
        (DiTConfig, {"patch_size": [1, 2, "2"]}, "use a list, each a whole number"),
        (DiTConfig, {"patch_size": "122"}, "patch_size '122': use a list of 3 in brackets"),
        (DiTConfig, {"patch_size": [2, 2, 2]}, "use 1 in time"),
        (DiTConfig, {"norm_input_visual": 1}, "norm_input_visual 1: use true or false"),
        (DiTConfig, {"num_heads": 3}, "with 3 heads"),
        (DiTConfig, {"in_dim": 16}, "DiT input of 16 channels"),
        (VAEConfig, {"num_res_blocks": 100_000}, "num_res_blocks 100000: use"),
        (VAEConfig, {"dim_mult": [1] * 9000}, "dim_mult [1, 1, 1"),
        (VAEConfig, {"dim_mult": []}, "use a list of 1 to 256, not 0"),
        (VAEConfig, {"dim_mult": [1, 2, 4]}, "VAE of 3 levels"),
        (VAEConfig, {"latent_std": [0.0] * 16}, "not above 0"),
        (VAEConfig, {"temporal_downsample": [True, True]}, "VAE of 4 levels, 2 between them"),
        (TextEncoderConfig, {"vocab_size": 2**40}, "vocab_size 1099511627776: use"),
        (TextEncoderConfig, {"num_heads": 5}, "with 5 heads"),
        (TextEncoderConfig, {"num_buckets": 1}, "num_buckets 1: use a whole number from 4"),
        (ClipVisionConfig, {"image_size": 10**9}, "image_size 1000000000: use"),
        (ClipVisionConfig, {"mlp_ratio": -1}, "mlp_ratio -1: use a number from 0.01 to 64"),
        (ClipVisionConfig, {"num_heads": 7}, "with 7 heads"),
        (ClipVisionConfig, {"patch_size": 300}, "CLIP patches of 300 pixels"),
        (AudioEncoderConfig, {"conv_kernel": [10, 3, 3, 3, 3, "2", 2]}, "each a whole number"),
        (AudioEncoderConfig, {"conv_dim": [8, 8]}, "2 widths, 7 kernels and 7 strides"),
        (AudioEncoderConfig, {"conv_stride": [100] * 7}, "the limit is 16000"),
        (AudioEncoderConfig, {"feat_extract_norm": "batch"}, "use 'group' or 'layer'"),
        (AudioEncoderConfig, {"num_conv_pos_embedding_groups": 7}, "7 groups of positions"),
        (ChunkConfig, {"num_frames": 4_000_001}, "num_frames 4000001: use"),
        (ChunkConfig, {"frame_rate_hz": 24}, "frame rate 24"),
        (SamplingConfig, {"steps": "4"}, "steps '4': use a whole number"),
        (SamplingConfig, {"rule": ["euler"]}, "rule ['euler']: use 'renoise' or 'euler'"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_value_that_cannot_be(kind, values, said):
    assert said in refusal(kind, values)


@pytest.mark.parametrize("values", [5, "text", [], None], ids=repr)
def test_a_section_that_is_none(values):
    assert "use an object in braces" in refusal(DiTConfig, values)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"size_px": [128]}, "size_px [128]: use a list of 2, not 1"),
        ({"size_px": ["a", "b"]}, "size_px ['a', 'b']: use a list, each a whole number"),
        ({"known_sizes_px": [[1, 2], [3]]}, "known_sizes_px [[1, 2], [3]]: use a list, each"),
        ({"prompt": 5}, "prompt 5: use a text of at most 10000 characters"),
        ({"prompt": "\ud800"}, "use a text"),
        ({"name": "n" * 201}, "use a text of at most 200 characters"),
    ],
    ids=str,
)
def test_plain_settings(values, said):
    with pytest.raises(InvalidInputError) as caught:
        check_settings(AvatarConfig, values, "a.json")
    assert str(caught.value).startswith("a.json: ")
    assert said in str(caught.value)
