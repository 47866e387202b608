"""Full-size models take every tensor of the published files, by name and shape."""

import json
from functools import partial
from pathlib import Path

import pytest
import torch

from flashtalk_core.config.networks import (
    AudioEncoderConfig,
    ClipVisionConfig,
    DiTConfig,
    TextEncoderConfig,
    VAEConfig,
)
from flashtalk_core.models.encoders.audio import AudioEncoder
from flashtalk_core.models.encoders.clip_vision import ClipVision
from flashtalk_core.models.encoders.text import TextEncoder
from flashtalk_core.models.transformer.model import AvatarDiT
from flashtalk_core.models.vae.model import VideoVAE
from flashtalk_core.settings import from_settings
from flashtalk_core.weights.mapping.key_maps import (
    AUDIO_KEYS,
    DIT_KEYS,
    TEXT_KEYS,
    VAE_KEYS,
    audio_name,
    clip_keys,
    clip_name,
    text_name,
)
from flashtalk_core.weights.mapping.sizes import (
    audio_sizes,
    clip_sizes,
    dit_sizes,
    named_shapes,
    text_sizes,
    vae_sizes,
)
from flashtalk_core.weights.plan import plan_component
from tests.memory_source import MemorySource

pytestmark = pytest.mark.cpu

MANIFESTS = Path(__file__).parents[2] / "golden" / "manifests"


def manifest(name, dtype=torch.bfloat16):
    tensors = json.loads((MANIFESTS / f"{name}.json").read_text())["tensors"]
    return MemorySource(name, {key: stored(shape, dtype) for key, shape in tensors.items()})


def stored(shape, dtype=torch.float32):
    return torch.empty(shape, dtype=dtype, device="meta")


def renamed(file, rename):
    return MemorySource(file.name, {rename(name): each for name, each in file.tensors.items()})


def planned_sources(build, file, keys):
    plan = plan_component(build, [file], keys)
    return {piece.name for _, pieces in plan.sources for piece in pieces}


def left_out(file, sources):
    return set(file.infos) - sources


def test_transformer():
    file = manifest("official_dit")
    sources = planned_sources(partial(AvatarDiT, DiTConfig()), file, DIT_KEYS)
    assert left_out(file, sources) == set()


def test_video_autoencoder():
    file = manifest("official_vae")
    sources = planned_sources(partial(VideoVAE, VAEConfig()), file, VAE_KEYS)
    assert left_out(file, sources) == set()


@pytest.mark.parametrize("name", ["official_umt5", "repackaged_umt5"])
def test_text_encoder(name):
    file = manifest(name)
    sources = planned_sources(partial(TextEncoder, TextEncoderConfig()), file, TEXT_KEYS)
    assert left_out(file, sources) == set()


@pytest.mark.parametrize("scale", ["scale_weight", "weight_scale"])
def test_quantised_text_encoder_with_its_tokenizer(scale):
    plain = manifest("repackaged_umt5")
    tensors = dict(plain.tensors)
    for name, tensor in plain.tensors.items():
        if tensor.dim() == 2 and "Dense" in name:
            tensors[name] = stored(tensor.shape, torch.float8_e4m3fn)
            tensors[name.replace("weight", scale)] = stored(())
    tensors["scaled_fp8"] = stored((0,), torch.float8_e4m3fn)
    tensors["spiece_model"] = stored((4_548_313,), torch.uint8)
    file = MemorySource(plain.name, tensors)
    plan = plan_component(partial(TextEncoder, TextEncoderConfig()), [file], TEXT_KEYS)
    pieces = [piece for _, pieces in plan.sources for piece in pieces]
    assert {piece.name for piece in pieces} == set(plain.infos)
    assert sum(piece.scale is not None for piece in pieces) == 24 * 3


def test_published_clip_leaves_out_text_heads_and_the_last_block():
    file = manifest("official_clip")
    sources = planned_sources(partial(ClipVision, ClipVisionConfig()), file, clip_keys(32))
    rest = {name for name in left_out(file, sources) if not name.startswith("textual.")}
    last = {name for name in file.infos if name.startswith("visual.transformer.31.")}
    assert rest == last | {
        "log_scale",
        "visual.head",
        "visual.post_norm.weight",
        "visual.post_norm.bias",
    }


def test_repackaged_clip_leaves_out_head_and_the_last_block():
    file = manifest("repackaged_clip_vision_h")
    sources = planned_sources(partial(ClipVision, ClipVisionConfig()), file, clip_keys(32))
    last = {name for name in file.infos if name.startswith("vision_model.encoder.layers.31.")}
    assert left_out(file, sources) == last | {
        "visual_projection.weight",
        "vision_model.post_layernorm.weight",
        "vision_model.post_layernorm.bias",
    }


def as_new(name):
    return name


def as_old(name):
    name = name.replace("parametrizations.weight.original0", "weight_g")
    return name.replace("parametrizations.weight.original1", "weight_v")


@pytest.mark.parametrize("spell", [as_new, as_old])
@pytest.mark.parametrize("prefix", ["", "wav2vec2."])
def test_audio_encoder_in_every_spelling(spell, prefix):
    file = renamed(manifest("hf_wav2vec2_base"), lambda name: prefix + spell(name))
    others = {
        "quantizer.codevectors": stored((1, 640, 128)),
        "project_q.weight": stored((256, 256)),
        "project_hid.bias": stored((256,)),
    }
    file = MemorySource(file.name, file.tensors | others)
    sources = planned_sources(partial(AudioEncoder, AudioEncoderConfig()), file, AUDIO_KEYS)
    assert left_out(file, sources) == {
        "quantizer.codevectors",
        "project_q.weight",
        "project_hid.bias",
        f"{prefix}masked_spec_embed",
    }


def test_shapes_alone_tell_the_published_sizes():
    dit = named_shapes((manifest("official_dit"),))
    vae = named_shapes((manifest("official_vae"),))
    assert from_settings(DiTConfig, dit_sizes(dit)) == DiTConfig()
    assert from_settings(VAEConfig, vae_sizes(vae)) == VAEConfig()
    for name in ("official_umt5", "repackaged_umt5"):
        text = text_sizes(named_shapes((manifest(name),), text_name))
        assert text == vars(TextEncoderConfig())
    for name in ("official_clip", "repackaged_clip_vision_h"):
        clip = clip_sizes(named_shapes((manifest(name),), clip_name))
        assert clip == vars(ClipVisionConfig())
    audio = audio_sizes(named_shapes((manifest("hf_wav2vec2_base"),), audio_name))
    assert from_settings(AudioEncoderConfig, audio) == AudioEncoderConfig(do_normalize=False)
