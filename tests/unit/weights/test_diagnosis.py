"""All errors in a model's files at once, from names and headers alone."""

import json
import shutil
from pathlib import Path
from typing import get_args

import pytest
from safetensors.torch import load_file, save_file

from flashtalk_core.weights.diagnosis import find_part_errors
from flashtalk_core.weights.discovery.layout import find_model_files, resolve_model
from flashtalk_core.weights.discovery.parts import PARTS, Part
from tests.large_files import plain, shapes_of, write_large_model, write_sparse

pytestmark = pytest.mark.cpu

FOLDERS = {
    "dit": "diffusion_models",
    "vae": "vae",
    "text": "text_encoders",
    "tokenizer": "text_encoders",
    "clip": "clip_vision",
    "audio": "audio_encoders",
}
TINY = find_model_files(resolve_model("tiny"))
OWN_FILES = {
    "dit": TINY.dit[0], "vae": TINY.vae, "text": TINY.text, "clip": TINY.clip, "audio": TINY.audio,
}  # fmt: skip
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 34000000000\n"
HTML = b"<!DOCTYPE html><html><body>Please sign in</body></html>"


@pytest.fixture
def models(tmp_path):
    """ComfyUI's folder of models, with the 14B in it."""
    write_large_model(tmp_path, TINY.tokenizer)
    return tmp_path


def faults(models, chosen=(), without=()):
    places = {part: [models / folder] for part, folder in FOLDERS.items()}
    found = find_part_errors(places, dict(chosen), without)
    assert all("\n" not in error.message for error in found)
    return {error.part: error.message for error in found}


def test_a_complete_model_has_no_faults(models):
    assert faults(models) == {}


@pytest.mark.parametrize("layout", ["authors_folder", "tiny"])
def test_files_that_can_be_loaded_have_none(request, layout):
    folder = resolve_model("tiny") if layout == "tiny" else request.getfixturevalue(layout)
    files = find_model_files(folder)
    chosen = {"dit": files.dit[0], "vae": files.vae, "text": files.text, "clip": files.clip}
    chosen |= {"audio": files.audio, "tokenizer": files.tokenizer}
    assert find_part_errors({}, chosen) == []


def test_every_missing_part_is_reported_with_its_folders_and_where_it_is_published(tmp_path):
    found = faults(tmp_path)
    assert list(found) == ["dit", "vae", "text", "clip", "audio"]
    for part, message in found.items():
        assert message.startswith(f"{PARTS[part].title} not found in {tmp_path / FOLDERS[part]}: ")
        assert all(f"https://huggingface.co/{name}" in message for name in PARTS[part].repositories)


def test_a_part_that_is_not_needed_is_not_looked_at(tmp_path):
    assert list(faults(tmp_path, without=("text", "clip"))) == ["dit", "vae", "audio"]


def test_a_missing_tokenizer_is_reported_once_the_text_encoder_is_there(models):
    (models / "text_encoders" / "spiece.model").unlink()
    assert "tokenizer not found" in faults(models)["tokenizer"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "0 bytes that are no safetensors file"),
        (HTML, "(a web page in place of the file); download it again"),
        (b"\n" + HTML, "a web page in place of the file"),
        (LFS, "a Git LFS pointer in place of the file: run `git lfs pull`"),
        (b"GGUF\x03" * 50, "a GGUF file under another name"),
        (
            b"\x02\x00\x00\x00\x00\x00\x00\x00{}",
            "no video autoencoder that is known, its 0 tensors",
        ),
    ],
)
def test_what_lies_in_place_of_a_file_is_reported_with_what_is_missing(models, content, says):
    (models / "vae" / "wan_2.1_vae.safetensors").write_bytes(content)
    (models / "audio_encoders" / "wav2vec2-chinese-base.safetensors").unlink()
    found = faults(models)
    assert list(found) == ["vae", "audio"]
    assert says in found["vae"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "0 bytes"),
        (HTML, "a web page in place of the file"),
        (LFS, "a Git LFS pointer in place of the file: run `git lfs pull`"),
        (b"PK\x03\x04 cut short", "it has no end"),
    ],
)
def test_a_file_that_is_no_pickle_is_reported_without_reading_it(models, content, reason):
    path = models / "vae" / "Wan2.1_VAE.pth"
    path.write_bytes(content)
    assert faults(models)["vae"] == (
        f"{path}: damaged, cut short or not readable ({reason}); resume or repeat its download"
    )


@pytest.mark.parametrize("part", ["dit", "vae", "text", "clip", "audio"])
def test_the_file_of_another_part_is_called_by_its_name(models, part):
    for other in get_args(Part):
        if other in (part, "tokenizer"):
            continue
        (message,) = faults(models, {part: OWN_FILES[other]}).values()
        assert f"holds a model's {PARTS[other].title}, not its {PARTS[part].title}" in message


@pytest.mark.parametrize(
    ("has_audio", "says"),
    [(False, "without audio layers"), (True, "audio layers without the transformer")],
)
def test_of_half_a_transformer_the_missing_half_is_named(models, has_audio, says):
    names = {
        name: shape
        for name, shape in shapes_of("official_dit").items()
        if ("audio" in name or "norm_x" in name) == has_audio
    }
    path = write_sparse(models / "half.safetensors", plain(names))
    message = faults(models, {"dit": path})["dit"]
    assert says in message
    assert "https://huggingface.co/Soul-AILab/SoulX-FlashTalk-14B" in message


def test_a_missing_shard_is_reported_with_the_others(copied_folder):
    (copied_folder / "diffusion_pytorch_model-00002-of-00003.safetensors").unlink()
    (copied_folder / "Wan2.1_VAE.pth").write_bytes(HTML)
    found = find_part_errors({part: [copied_folder] for part in get_args(Part)}, {}, {"audio"})
    assert [error.part for error in found] == ["dit", "vae"]
    assert "00002-of-00003.safetensors: " in found[0].message


def test_files_that_are_nearly_it_are_named(models):
    kept = models / "vae" / "wan_2.1_vae.safetensors"
    kept.rename(models / "vae" / "Wan21-VAE-bf16.safetensors")
    message = faults(models)["vae"]
    assert "; Wan21-VAE-bf16.safetensors is there, choose it if it is the one; or " in message
    for index in range(5):
        shutil.copy(TINY.vae, models / "vae" / f"my_wan_vae_{index}.safetensors")
    assert "my_wan_vae_1.safetensors and 3 more are there" in faults(models)["vae"]


def test_a_damaged_gguf_file_is_reported_where_it_is_the_one_that_is_found(models):
    (models / "diffusion_models" / "flashtalk_14b_fp8_scaled.safetensors").unlink()
    (models / "diffusion_models" / "FlashTalk-14B-Q4_K_M.gguf").write_bytes(b"GGUF")
    message = faults(models)["dit"]
    assert "FlashTalk-14B-Q4_K_M.gguf: 4 bytes that are no GGUF file" in message
    assert "its header is cut short" in message


def test_a_file_that_may_not_be_read_is_reported(models, monkeypatch):
    def refuse(path, *_args, **_kwargs):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    assert faults(models)["clip"].partition(": ")[2] == (
        "damaged, cut short or not readable (Permission denied); resume or repeat its download"
    )


def test_a_damaged_index_is_reported(models):
    index = models / "diffusion_models" / "my_flashtalk" / "x.safetensors.index.json"
    index.parent.mkdir()
    index.write_text(json.dumps({"weight_map": {}}))
    assert "names no shard" in faults(models, {"dit": index})["dit"]


def test_unknown_names_are_shown(models, tmp_path):
    path = tmp_path / "prefixed.safetensors"
    weights = {
        f"model.diffusion_model.{name}": value for name, value in load_file(TINY.vae).items()
    }
    save_file(weights, path)
    message = faults(models, {"vae": path})["vae"]
    assert "no video autoencoder that is known" in message
    assert "(model.diffusion_model.conv1.bias, " in message
