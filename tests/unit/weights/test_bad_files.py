"""Missing, damaged, unsafe and foreign files are reported in one line before any weight is read."""

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from flashtalk_core.errors import WeightsError
from flashtalk_core.models.encoders.text import TextEncoder
from flashtalk_core.weights.load import open_avatar

pytestmark = pytest.mark.cpu

SHARD = "diffusion_pytorch_model-00002-of-00003.safetensors"
INDEX = "diffusion_pytorch_model.safetensors.index.json"
TEXT = "models_t5_umt5-xxl-enc-bf16.pth"
CLIP = "models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth"


def refusal(folder):
    """Return the message with which the checkpoint is refused."""
    with pytest.raises(WeightsError) as caught:
        open_avatar(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("Wan2.1_VAE.pth", "Comfy-Org/Wan_2.1_ComfyUI_repackaged"),
        (TEXT, "Soul-AILab/SoulX-FlashTalk-14B"),
        (CLIP, "Soul-AILab/SoulX-FlashTalk-14B"),
        ("google/umt5-xxl/spiece.model", "google/umt5-xxl/resolve/main/spiece.model"),
        ("../chinese-wav2vec2-base/pytorch_model.bin", "TencentGameMate/chinese-wav2vec2-base"),
    ],
)
def test_missing_part_names_files_folder_and_repository(copied_folder, name, published):
    (copied_folder / name).unlink()
    message = refusal(copied_folder)
    assert Path(name).name in message
    assert str(copied_folder) in message
    assert published in message


def test_missing_transformer(copied_folder):
    for path in copied_folder.glob("diffusion_pytorch_model*"):
        path.unlink()
    assert "diffusion transformer not found" in refusal(copied_folder)


@pytest.mark.parametrize("with_index", [True, False])
def test_missing_shard_is_named(copied_folder, with_index):
    (copied_folder / SHARD).unlink()
    if not with_index:
        (copied_folder / INDEX).unlink()
    message = refusal(copied_folder)
    assert SHARD in message
    assert "resume the download" in message


@pytest.mark.parametrize("kept", [0, 5, 40, -1])
def test_truncated_safetensors(copied_folder, kept):
    path = copied_folder / SHARD
    path.write_bytes(path.read_bytes()[:kept])
    message = refusal(copied_folder)
    assert SHARD in message
    assert "download" in message


def test_other_content_under_the_name_of_a_safetensors_file(copied_folder):
    (copied_folder / SHARD).write_text("version 1\nthis is a pointer to a large file" * 3)
    assert "no safetensors file" in refusal(copied_folder)


@pytest.mark.parametrize("kept", [0, 100, -20])
def test_truncated_pickle(copied_folder, kept):
    path = copied_folder / TEXT
    path.write_bytes(path.read_bytes()[:kept])
    message = refusal(copied_folder)
    assert TEXT in message
    assert "cut short" in message


class Payload:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("zipped", [True, False])
def test_pickle_with_code_is_not_opened(copied_folder, tmp_path, zipped):
    trap = tmp_path / "executed"
    weights = {"token_embedding.weight": Payload(trap)}
    torch.save(weights, copied_folder / TEXT, _use_new_zipfile_serialization=zipped)
    message = refusal(copied_folder)
    assert "holds code" in message
    assert "safetensors" in message
    assert not trap.exists()


def test_pickle_without_a_table(copied_folder):
    torch.save([torch.zeros(2)], copied_folder / TEXT)
    assert "no flat table" in refusal(copied_folder)


def test_pickle_of_the_older_format_loads(copied_folder):
    weights = torch.load(copied_folder / TEXT, weights_only=True)
    torch.save(weights, copied_folder / TEXT, _use_new_zipfile_serialization=False)
    checkpoint = open_avatar(copied_folder)
    model = checkpoint.load(TextEncoder, torch.device("cpu"), torch.float32)
    assert model.encoder.embed_tokens.weight.equal(weights["token_embedding.weight"])


def rewrite(path, change):
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


def test_wrong_shape_names_the_tensor_and_both_shapes(copied_folder):
    path = next(copied_folder.glob("*-of-00003.safetensors"))
    name = "blocks.1.ffn.2.bias"
    for path in copied_folder.glob("*-of-00003.safetensors"):
        if name in load_file(path):
            rewrite(path, lambda tensors: tensors.update({name: torch.zeros(7)}))
            break
    message = refusal(copied_folder)
    assert f"{name} has shape (7,), expected (96,)" in message
    assert path.name in message


def test_missing_tensors_are_counted_and_the_first_named(copied_folder):
    weights = torch.load(copied_folder / CLIP, weights_only=True)
    del weights["visual.transformer.1.attn.to_qkv.bias"]
    torch.save(weights, copied_folder / CLIP)
    message = refusal(copied_folder)
    assert "3 of 37 tensors" in message
    assert "encoder.layers.1.self_attn.k_proj.bias" in message


def test_unknown_tensor_is_named(copied_folder):
    rewrite(copied_folder / SHARD, lambda tensors: tensors.update(surprise=torch.zeros(2)))
    assert "(surprise) are not known" in refusal(copied_folder)


def test_unreadable_json(copied_folder):
    (copied_folder / "config.json").write_text("{")
    assert "config.json: not readable as JSON" in refusal(copied_folder)


@pytest.mark.parametrize("files", [{}, [], "x", None])
def test_index_without_shards(copied_folder, files):
    (copied_folder / INDEX).write_text(json.dumps({"weight_map": files}))
    assert "names no shard" in refusal(copied_folder)


def test_names_are_known_in_capitals(copied_folder):
    for path in copied_folder.glob("diffusion_pytorch_model-*"):
        path.rename(path.with_suffix(".SAFETENSORS"))
    (copied_folder / INDEX).unlink()
    open_avatar(copied_folder)


def test_vocabulary_larger_than_the_embedding(copied_folder):
    settings = json.loads((copied_folder / "flashtalk.json").read_text())
    settings["text"] = {"vocab_size": 5}
    (copied_folder / "flashtalk.json").write_text(json.dumps(settings))
    assert "tokens, but the text encoder knows 5" in refusal(copied_folder)


def test_other_quantisation_is_refused(copied_folder):
    weights = torch.load(copied_folder / TEXT, weights_only=True)
    weights["blocks.0.attn.q.weight"] = torch.zeros(48, 48, dtype=torch.int8)
    torch.save(weights, copied_folder / TEXT)
    assert "quantised form that is not read" in refusal(copied_folder)


def test_scales_of_blocks_are_refused(copied_folder):
    weights = torch.load(copied_folder / TEXT, weights_only=True)
    name = "blocks.0.attn.q.weight"
    weights[name] = weights[name].to(torch.float8_e4m3fn)
    weights[f"{name}_scale"] = torch.ones(48, 3)
    torch.save(weights, copied_folder / TEXT)
    assert "weight_scale has shape (48, 3)" in refusal(copied_folder)
