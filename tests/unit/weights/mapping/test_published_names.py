"""Names that other programs give the same tensors: prefixes, markers, the diffusers library's."""

import json
import re
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from flashtalk_core.errors import WeightsError
from flashtalk_core.models.encoders.text import TextEncoder
from flashtalk_core.models.transformer.model import AvatarDiT
from flashtalk_core.models.vae.model import VideoVAE
from flashtalk_core.weights.diagnosis import find_part_errors
from flashtalk_core.weights.discovery.choice import choose_model_files
from flashtalk_core.weights.discovery.layout import find_model_files, resolve_model
from flashtalk_core.weights.load import open_checkpoint
from flashtalk_core.weights.mapping.kinds import check_kind
from flashtalk_core.weights.mapping.published_names import with_published_names
from tests.large_files import MANIFESTS
from tests.memory_source import MemorySource

pytestmark = pytest.mark.cpu

CPU = torch.device("cpu")
TINY = find_model_files(resolve_model("tiny"))
FILES = {
    "dit": TINY.dit[0], "vae": TINY.vae, "text": TINY.text, "clip": TINY.clip, "audio": TINY.audio,
}  # fmt: skip
MANIFEST_OF = {
    "dit": "official_dit", "vae": "official_vae", "text": "repackaged_umt5",
    "clip": "repackaged_clip_vision_h", "audio": "hf_wav2vec2_base",
}  # fmt: skip
PREFIXES = [
    ("dit", "model.diffusion_model."),
    ("dit", "diffusion_model."),
    ("dit", "model."),
    ("dit", "module."),
    ("vae", "first_stage_model."),
    ("vae", "vae."),
    ("text", "text_encoders.umt5xxl.transformer."),
    ("text", "text_encoder."),
    ("clip", "clip_vision."),
    ("audio", "audio_encoder."),
]


def library_transformer_name(name):
    """Name a tensor as the diffusers library does, by substitutions in this order."""
    for ours, theirs in (
        (r"^head\.modulation$", "scale_shift_table"),
        (r"\.modulation$", ".scale_shift_table"),
        (r"^head\.head\.", "proj_out."),
        (r"^(time|text)_embedding\.0", r"condition_embedder.\1_embedder.linear_1"),
        (r"^(time|text)_embedding\.2", r"condition_embedder.\1_embedder.linear_2"),
        (r"^time_projection\.1", "condition_embedder.time_proj"),
        (r"^img_emb\.proj\.0", "condition_embedder.image_embedder.norm1"),
        (r"^img_emb\.proj\.1", "condition_embedder.image_embedder.ff.net.0.proj"),
        (r"^img_emb\.proj\.3", "condition_embedder.image_embedder.ff.net.2"),
        (r"^img_emb\.proj\.4", "condition_embedder.image_embedder.norm2"),
        (r"\.ffn\.0", ".ffn.net.0.proj"),
        (r"\.ffn\.2", ".ffn.net.2"),
        (r"\.norm3", ".norm2"),
        (r"\.self_attn\.", ".attn1."),
        (r"\.cross_attn\.", ".attn2."),
        (r"\.attn2\.([kv])_img", r".attn2.add_\1_proj"),
        (r"\.attn2\.norm_k_img", ".attn2.norm_added_k"),
        (r"(\.attn[12])\.([qkv])\.", r"\1.to_\2."),
        (r"(\.attn[12])\.o\.", r"\1.to_out.0."),
    ):
        name = re.sub(ours, theirs, name)
    return name


def library_vae_name(name):
    """Name a tensor of Wan 2.1's autoencoder, with two and three blocks a level, the same way."""
    up = re.match(r"decoder\.upsamples\.(\d+)\.(.*)", name)
    if up:
        level, place = divmod(int(up[1]), 4)
        inner = "upsamplers.0" if place == 3 else f"resnets.{place}"
        name = f"decoder.up_blocks.{level}.{inner}.{up[2]}"
    for ours, theirs in (
        (r"^conv1\.", "quant_conv."),
        (r"^conv2\.", "post_quant_conv."),
        (r"coder\.conv1\.", "coder.conv_in."),
        (r"\.head\.0\.", ".norm_out."),
        (r"\.head\.2\.", ".conv_out."),
        (r"\.downsamples\.", ".down_blocks."),
        (r"\.middle\.0\.", ".mid_block.resnets.0."),
        (r"\.middle\.1\.", ".mid_block.attentions.0."),
        (r"\.middle\.2\.", ".mid_block.resnets.1."),
        (r"\.residual\.0\.", ".norm1."),
        (r"\.residual\.2\.", ".conv1."),
        (r"\.residual\.3\.", ".norm2."),
        (r"\.residual\.6\.", ".conv2."),
        (r"\.shortcut\.", ".conv_shortcut."),
    ):
        name = re.sub(ours, theirs, name)
    return name


def shapes_of(manifest):
    return json.loads((MANIFESTS / f"{manifest}.json").read_text())["tensors"]


def source_of(manifest, rename=str):
    """Return a published file whose tensors have other names; each holds its place in the file."""
    names = enumerate(shapes_of(manifest))
    return MemorySource("file", {rename(name): torch.tensor([float(i)]) for i, name in names})


def named(part, source):
    (found,) = with_published_names(part, (source,))
    return found


def assert_as_published(part, manifest, source):
    found = named(part, source)
    assert list(found.infos) == list(shapes_of(manifest))
    with found.reading() as read:
        assert [float(read(name)) for name in found.infos] == list(range(len(found.infos)))


@pytest.mark.parametrize(("part", "prefix"), PREFIXES)
def test_a_prefix_of_all_tensors_is_left_out(part, prefix):
    manifest = MANIFEST_OF[part]
    source = source_of(manifest, lambda name: prefix + name)
    assert_as_published(part, manifest, source)
    check_kind(part, "file", source.infos)


@pytest.mark.parametrize("prefix", ["", "model.diffusion_model."])
def test_the_librarys_transformer(prefix):
    source = source_of("official_dit", lambda name: prefix + library_transformer_name(name))
    assert_as_published("dit", "official_dit", source)
    check_kind("dit", "file", source.infos)


def test_the_librarys_autoencoder():
    source = source_of("official_vae", library_vae_name)
    assert_as_published("vae", "official_vae", source)
    check_kind("vae", "file", source.infos)


def test_what_accompanies_a_weight_follows_it():
    names = ("weight", "scale_weight", "weight_scale", "comfy_quant", "bias")
    tensors = {f"blocks.3.attn2.add_k_proj.{name}": torch.ones(1) for name in names}
    found = named(
        "dit", MemorySource("file", tensors | {"blocks.3.attn1.to_q.bias": torch.ones(1)})
    )
    assert {f"blocks.3.cross_attn.k_img.{name}" for name in names} < set(found.infos)


def test_the_names_of_the_librarys_published_files():
    """The conversion in this file is the library's."""
    assert {
        "patch_embedding.weight",
        "scale_shift_table",
        "blocks.3.norm2.weight",
        "blocks.3.scale_shift_table",
        "blocks.3.attn2.norm_added_k.weight",
        "condition_embedder.image_embedder.ff.net.0.proj.weight",
    } <= set(map(library_transformer_name, shapes_of("official_dit")))
    assert {
        "encoder.down_blocks.3.conv_shortcut.weight",
        "encoder.down_blocks.5.time_conv.weight",
        "decoder.up_blocks.1.resnets.0.conv_shortcut.bias",
        "decoder.up_blocks.0.upsamplers.0.time_conv.weight",
        "decoder.up_blocks.3.resnets.2.conv2.weight",
        "decoder.mid_block.attentions.0.to_qkv.weight",
        "decoder.norm_out.gamma",
    } <= set(map(library_vae_name, shapes_of("official_vae")))


def test_names_as_published_need_no_other_source():
    source = source_of("official_dit")
    assert named("dit", source) is source


@pytest.mark.parametrize("prefix", ["", "model.diffusion_model."])
@pytest.mark.parametrize("name", ["model_type.Wan2_1-I2V-14B", "model_type", "v_pred"])
def test_markers_are_no_tensors_of_the_model(prefix, name):
    source = source_of("official_dit", lambda name: prefix + name)
    source.tensors[name] = torch.zeros(0)
    assert_as_published("dit", "official_dit", source)


def test_audio_layers_of_another_file_keep_their_names():
    """The transformer of one file has a prefix, its audio layers of another have none."""
    names = shapes_of("official_dit")
    audio = {name: torch.ones(1) for name in names if "audio" in name or "norm_x" in name}
    base = {f"model.diffusion_model.{name}": torch.ones(1) for name in names if name not in audio}
    sources = (MemorySource("base", base), MemorySource("audio", audio))
    found = with_published_names("dit", sources)
    assert {name for source in found for name in source.infos} == set(names)


def test_two_tensors_of_one_name_are_refused():
    source = source_of("official_dit")
    source.tensors["model.patch_embedding.bias"] = torch.zeros(2)
    with pytest.raises(WeightsError, match=r"patch_embedding.bias are the same tensor; remove one"):
        named("dit", source)


def test_a_checkpoint_with_every_part_gives_each(tmp_path):
    """As ComfyUI's Save Checkpoint writes it, with the library's names for the transformer."""
    path = tmp_path / "flashtalk.sft"
    tensors = {"model_type.Wan2_1": torch.zeros(1), "text_encoders.spiece_model": tokenizer()}
    for part, prefix, rename in (
        ("dit", "model.diffusion_model.", library_transformer_name),
        ("vae", "vae.", str),
        ("text", "text_encoders.umt5xxl.transformer.", str),
    ):
        stored = load_file(FILES[part]).items()
        tensors |= {prefix + rename(name): value for name, value in stored}
    save_file(tensors, path)
    shutil.copy(TINY.root / "flashtalk.json", tmp_path)
    chosen = FILES | {"dit": path, "vae": path, "text": path}
    assert find_part_errors({}, chosen) == []
    expected = open_checkpoint(TINY)
    checkpoint = open_checkpoint(choose_model_files({}, chosen))
    assert checkpoint.tokenizer("talking")[0].equal(expected.tokenizer("talking")[0])
    for kind in (AvatarDiT, VideoVAE, TextEncoder):
        found = dict(checkpoint.load(kind, CPU, torch.float32).named_parameters())
        for name, value in expected.load(kind, CPU, torch.float32).named_parameters():
            assert found[name].equal(value), name


def test_a_tensor_that_is_not_known_is_still_reported(tmp_path):
    path = tmp_path / "flashtalk.safetensors"
    stored = {f"diffusion_model.{name}": value for name, value in load_file(TINY.dit[0]).items()}
    save_file(stored | {"diffusion_model.blocks.0.extra.weight": torch.zeros(2)}, path)
    shutil.copy(TINY.root / "flashtalk.json", tmp_path)
    files = choose_model_files({}, FILES | {"dit": path, "tokenizer": TINY.tokenizer})
    with pytest.raises(WeightsError, match=r"1 of \d+ tensors \(blocks.0.extra.weight\) are not"):
        open_checkpoint(files)


def tokenizer():
    return torch.frombuffer(bytearray(TINY.tokenizer.read_bytes()), dtype=torch.uint8)
