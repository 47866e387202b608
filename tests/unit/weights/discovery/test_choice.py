"""Parts that lie in many folders are found, or used as chosen, and become one model."""

import json
import os
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from flashtalk_core.errors import WeightsError
from flashtalk_core.models.encoders.clip_vision import ClipVision
from flashtalk_core.models.encoders.text import TextEncoder
from flashtalk_core.models.transformer.model import AvatarDiT
from flashtalk_core.weights.discovery.choice import choose_model_files
from flashtalk_core.weights.discovery.layout import find_model_files
from flashtalk_core.weights.load import open_checkpoint

pytestmark = pytest.mark.cpu

KINDS = {
    "dit": "diffusion_models",
    "vae": "vae",
    "text": "text_encoders",
    "tokenizer": "text_encoders",
    "clip": "clip_vision",
    "audio": "audio_encoders",
}
SHARD = "diffusion_pytorch_model-00002-of-00003.safetensors"


@pytest.fixture
def places(tmp_path):
    """Two base folders for each kind, as ComfyUI lists them; the first is there and empty."""
    bases = (tmp_path / "first", tmp_path / "second")
    for base in bases:
        for kind in KINDS.values():
            (base / kind).mkdir(parents=True, exist_ok=True)
    return {part: [base / kind for base in bases] for part, kind in KINDS.items()}


@pytest.fixture
def repackaged(places, repackaged_folder):
    """Repackaged files, each in the second folder of its kind."""
    for part, (_, second) in places.items():
        shutil.copytree(repackaged_folder / KINDS[part], second, dirs_exist_ok=True)
    shutil.copy(repackaged_folder / "flashtalk.json", places["dit"][1])
    return places


@pytest.fixture
def authors(places, copied_folder):
    """The authors' files, spread over both folders of each kind."""
    moves = {
        "Wan2.1_VAE.pth": places["vae"][0],
        "models_t5_umt5-xxl-enc-bf16.pth": places["text"][1],
        "google": places["text"][1],
        "models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth": places["clip"][0],
        "../chinese-wav2vec2-base": places["audio"][1],
    }
    for name, folder in moves.items():
        shutil.move(copied_folder / name, folder)
    shutil.move(copied_folder, places["dit"][1])
    return places


def refusal(*args):
    with pytest.raises(WeightsError) as caught:
        choose_model_files(*args)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_repackaged_parts_become_the_model_that_one_folder_gives(repackaged, repackaged_folder):
    checkpoint = open_checkpoint(choose_model_files(repackaged, {}))
    whole = open_checkpoint(find_model_files(repackaged_folder))
    assert checkpoint.config == whole.config
    assert checkpoint.sources.tokenizer is None
    assert checkpoint.tokenizer("talking")[0].equal(whole.tokenizer("talking")[0])
    assert checkpoint.sources.text[0].name == "umt5_xxl_fp8_e4m3fn_scaled.safetensors"
    assert checkpoint.sources.text[0].path.parent == repackaged["text"][1]
    text = checkpoint.load(TextEncoder, torch.device("cpu"), torch.float32)
    assert all(value.isfinite().all() for value in text.parameters())


def test_authors_parts_are_found_with_shards_tokenizer_and_library_folder(authors, models):
    files = choose_model_files(authors, {})
    assert len(files.dit) == 3
    assert files.root == authors["dit"][1] / "SoulX-FlashTalk-14B"
    assert files.tokenizer == authors["text"][1] / "google/umt5-xxl/spiece.model"
    assert files.audio == authors["audio"][1] / "chinese-wav2vec2-base/pytorch_model.bin"
    checkpoint = open_checkpoint(files)
    assert checkpoint.config == models.config
    dit = checkpoint.load(AvatarDiT, torch.device("cpu"), torch.float32)
    assert all(v.equal(models.dit.get_parameter(k)) for k, v in dit.named_parameters())


def test_the_first_folder_goes_before_the_second(repackaged):
    first, second = repackaged["vae"]
    shutil.copy(second / "wan_2.1_vae.safetensors", first)
    assert choose_model_files(repackaged, {}).vae.parent == first


def test_what_is_chosen_goes_before_what_is_found(repackaged, tmp_path):
    chosen = {}
    for part in ("dit", "vae", "text", "clip", "audio"):
        (found,) = repackaged[part][1].glob("*.safetensors")
        chosen[part] = shutil.copy(found, tmp_path / f"my {part}.safetensors")
    files = choose_model_files(repackaged, chosen)
    assert (*files.dit, files.vae, files.text, files.clip, files.audio) == tuple(chosen.values())
    # The settings lie next to the other transformer.
    assert files.settings == {}


def test_a_chosen_tokenizer_goes_before_the_one_inside(repackaged, authors_folder):
    chosen = authors_folder / "google/umt5-xxl/spiece.model"
    assert choose_model_files(repackaged, {"tokenizer": chosen}).tokenizer == chosen


def test_a_stray_tokenizer_does_not_replace_the_one_inside(repackaged, authors_folder):
    for folder in repackaged["text"]:
        shutil.copy(authors_folder / "google/umt5-xxl/spiece.model", folder)
    assert choose_model_files(repackaged, {}).tokenizer is None


def test_files_named_for_the_model_go_before_those_of_any_transformer(authors):
    foreign = authors["dit"][0] / "diffusion_pytorch_model.safetensors"
    save_file({"foreign": torch.zeros(1)}, foreign)
    save_file({"foreign": torch.zeros(1)}, authors["dit"][1] / foreign.name)
    assert len(choose_model_files(authors, {}).dit) == 3


def test_a_folder_named_for_the_model_goes_before_a_loose_file_of_any_transformer(repackaged):
    folder = repackaged["dit"][1]
    (own,) = folder.glob("*.safetensors")
    (folder / "FlashTalk").mkdir()
    own = shutil.move(own, folder / "FlashTalk" / "diffusion_pytorch_model.safetensors")
    save_file({"foreign": torch.zeros(1)}, folder / "diffusion_pytorch_model.safetensors")
    assert choose_model_files(repackaged, {}).dit == (own,)


def test_another_wav2vec2_is_not_taken_where_the_right_one_lies(repackaged):
    other = repackaged["audio"][0] / "wav2vec2_large_english_fp16.safetensors"
    save_file({"foreign": torch.zeros(1)}, other)
    assert choose_model_files(repackaged, {}).audio.parent == repackaged["audio"][1]


@pytest.mark.parametrize("chosen", ["", SHARD, "diffusion_pytorch_model.safetensors.index.json"])
def test_a_folder_a_shard_or_the_index_stands_for_all_shards(authors, authors_folder, chosen):
    files = choose_model_files(authors, {"dit": authors_folder / chosen})
    assert len(files.dit) == 3
    assert {path.parent for path in files.dit} == {authors_folder}


def test_a_folder_with_one_file_of_any_name_can_be_chosen(repackaged, tmp_path):
    (tmp_path / "mine").mkdir()
    (found,) = repackaged["dit"][1].glob("*.safetensors")
    file = shutil.copy(found, tmp_path / "mine" / "best.safetensors")
    assert choose_model_files(repackaged, {"dit": tmp_path / "mine"}).dit == (file,)
    shutil.copy(file, tmp_path / "mine" / "second best.safetensors")
    assert "2 safetensors files in this folder" in refusal(repackaged, {"dit": tmp_path / "mine"})


def test_a_library_folder_can_be_chosen_for_the_audio_encoder(repackaged, authors_folder):
    folder = authors_folder.parent / "chinese-wav2vec2-base"
    files = choose_model_files(repackaged, {"audio": folder})
    assert files.audio == folder / "pytorch_model.bin"
    assert files.audio_config["do_normalize"] is True


def test_without_text_and_clip_sizes_come_from_the_transformer(repackaged, models):
    (repackaged["dit"][1] / "flashtalk.json").unlink()
    places = {part: repackaged[part] for part in ("dit", "vae", "audio")}
    files = choose_model_files(places, {}, without=("text", "clip"))
    assert (files.text, files.tokenizer, files.clip) == (None, None, None)
    # What shapes do not determine of the toys.
    settings = {"dit": {"num_heads": 4, "text_len": 24, "context_tokens": 6}, "vae": {"dim": 8}}
    settings |= {"audio": json.loads(json.dumps(vars(models.config.audio)))}
    (repackaged["dit"][1] / "flashtalk.json").write_text(json.dumps(settings))
    checkpoint = open_checkpoint(choose_model_files(places, {}, without=("text", "clip")))
    assert (checkpoint.tokenizer, checkpoint.text_plan, checkpoint.clip_plan) == (None, None, None)
    assert checkpoint.config.text.dim == checkpoint.config.dit.text_dim == 48
    assert checkpoint.config.clip.dim == checkpoint.config.dit.clip_dim == models.config.clip.dim
    checkpoint.load(AvatarDiT, torch.device("cpu"), torch.float32)
    for kind in (TextEncoder, ClipVision):
        with pytest.raises(AssertionError, match=f"without {kind.__name__}"):
            checkpoint.load(kind, torch.device("cpu"), torch.float32)


@pytest.mark.parametrize(
    ("part", "title", "names", "published"),
    [
        (
            "dit",
            "diffusion transformer",
            ("*flashtalk*.safetensors", "diffusion_pytorch_model-*.safetensors", "*flashtalk*/"),
            "Soul-AILab/SoulX-FlashTalk-14B",
        ),
        (
            "vae",
            "video autoencoder",
            ("Wan2.1_VAE.pth", "wan_2.1_vae*.safetensors"),
            "Comfy-Org/Wan_2.1_ComfyUI_repackaged",
        ),
        (
            "text",
            "text encoder",
            ("models_t5_umt5-xxl-enc-bf16.pth", "umt5_xxl_*.safetensors"),
            "Comfy-Org/Wan_2.1_ComfyUI_repackaged",
        ),
        (
            "clip",
            "CLIP vision tower",
            ("clip_vision_h*.safetensors",),
            "Comfy-Org/Wan_2.1_ComfyUI_repackaged",
        ),
        (
            "audio",
            "audio encoder",
            ("wav2vec2*chinese*.safetensors", "*wav2vec2*/", "pytorch_model.bin"),
            "TencentGameMate/chinese-wav2vec2-base",
        ),
    ],
)
def test_a_missing_part_names_all_that_was_tried(repackaged, part, title, names, published):
    for path in repackaged[part][1].glob("*.safetensors"):
        path.unlink()
    message = refusal(repackaged, {})
    assert message.startswith(f"{title} not found in ")
    for text in (*names, *map(str, repackaged[part]), published):
        assert text in message


def test_a_missing_tokenizer_names_the_folders_of_the_text_encoder(authors, tmp_path):
    shutil.rmtree(authors["text"][1] / "google")
    message = refusal(authors, {})
    assert message.startswith("tokenizer not found in ")
    for text in ("spiece.model", "google/umt5-xxl/", *map(str, authors["text"])):
        assert text in message
    assert message.count(str(authors["text"][1])) == 1


def test_the_lack_of_any_folder_is_reported():
    assert "any folder (none is known for it)" in refusal({}, {})


def test_a_missing_shard_is_named(authors):
    folder = authors["dit"][1] / "SoulX-FlashTalk-14B"
    (folder / SHARD).unlink()
    for chosen in ({}, {"dit": folder}, {"dit": folder / SHARD.replace("00002", "00001", 1)}):
        message = refusal(authors, chosen)
        assert SHARD in message
        assert "resume the download" in message


def test_a_chosen_file_that_is_gone_a_folder_or_of_another_kind_is_reported(repackaged, tmp_path):
    assert "no such file; choose another" in refusal(repackaged, {"vae": tmp_path / "a.pth"})
    assert "is a folder; choose the file in it" in refusal(repackaged, {"clip": tmp_path})
    (tmp_path / "a.onnx").write_bytes(b"onnx")
    message = refusal(repackaged, {"dit": tmp_path / "a.onnx"})
    assert ".onnx files are not read; choose one of .safetensors" in message


def test_an_encoder_of_another_model_is_refused(repackaged, tmp_path):
    (found,) = repackaged["vae"][1].glob("*.safetensors")
    tensors = load_file(found)
    tensors["conv2.weight"] = torch.zeros(8, 8, 1, 1, 1)
    save_file(tensors, tmp_path / "other.safetensors")
    files = choose_model_files(repackaged, {"vae": tmp_path / "other.safetensors"})
    with pytest.raises(WeightsError, match=r"other\.safetensors"):
        open_checkpoint(files)


def test_identity_changes_with_every_file_and_with_nothing_else(authors):
    files = choose_model_files(authors, {})
    identity = files.identity
    assert choose_model_files(authors, {}).identity == identity
    used = (*files.dit, files.vae, files.text, files.tokenizer, files.clip, files.audio)
    for path in used:
        before = path.stat()
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
        assert files.identity != identity
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    os.utime(files.vae, ns=(1, files.vae.stat().st_mtime_ns))
    assert files.identity == identity
    assert choose_model_files(authors, {}, without=["clip"]).identity != identity


def test_identity_of_a_file_that_is_gone_is_reported(repackaged):
    files = choose_model_files(repackaged, {})
    files.clip.unlink()
    with pytest.raises(WeightsError, match=r"clip_vision_h.safetensors: gone since it was found"):
        _ = files.identity
