"""Whole checkpoints load from both layouts and give the golden numbers."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from flashtalk_core.errors import WeightsError
from flashtalk_core.models.encoders.clip_vision import ClipVision
from flashtalk_core.models.encoders.text import TextEncoder, encode_prompt
from flashtalk_core.models.vae.model import VideoVAE
from flashtalk_core.weights.discovery.layout import find_model_files, list_parts, resolve_model
from flashtalk_core.weights.load import load_avatar, open_avatar
from flashtalk_core.weights.save import COMPONENT_FILES, save_component, save_settings

pytestmark = pytest.mark.cpu

GOLDEN = Path(__file__).parents[2] / "golden"


def golden(name, *keys):
    with safe_open(GOLDEN / f"{name}.safetensors", "pt") as file:
        return [file.get_tensor(key) for key in keys]


def error_of(result, expected):
    return float((result - expected).abs().max() / expected.std())


def test_sizes_come_from_files_where_they_tell_and_from_settings_otherwise(models):
    config = models.config
    assert (config.name, config.size_px, config.known_sizes_px) == ("toy", (96, 64), ((96, 64),))
    assert (config.dit.dim, config.dit.num_heads, config.dit.audio_context_tokens) == (96, 4, 6)
    assert (config.dit.audio_blocks, config.dit.audio_channels) == (3, 24)
    assert (config.dit.vae_scale, config.dit.clip_tokens, config.dit.text_len) == (4, 257, 24)
    assert (config.text.vocab_size, config.text.num_layers) == (96, 2)
    assert (config.clip.num_layers, config.clip.num_heads) == (3, 4)
    assert (config.audio.num_attention_heads, config.audio.do_normalize) == (4, True)


def test_loaded_encoders_give_the_golden_numbers(models):
    image, tokens = golden("clip", "in.image", "out.tokens")
    ids, mask, context = golden("umt5", "in.ids", "in.mask", "out.context")
    speech, hidden = golden("wav2vec2", "in.speech8s", "out.embedding8s")
    with torch.no_grad():
        assert error_of(models.clip(image[:, :, -1]), tokens) < 2e-5
        assert error_of(models.text_encoder(ids, mask)[:, : int(mask.sum())], context) < 2e-5
        assert error_of(models.audio_encoder(speech[None], 200)[0], hidden) < 2e-5


def test_loaded_transformer_and_autoencoder_hold_the_stored_weights(models):
    for module, name in ((models.dit, "dit"), (models.vae, "vae")):
        for key, value in module.named_parameters():
            assert value.equal(golden(name, f"weights.{key}")[0]), key


def test_models_are_frozen_and_in_evaluation_mode(models):
    for module in (models.dit, models.vae, models.text_encoder, models.clip, models.audio_encoder):
        assert not module.training
        assert not any(p.requires_grad or p.is_meta for p in module.parameters())
        assert not any(b.is_meta for b in module.buffers())


def test_prompt_can_be_encoded(models):
    with torch.no_grad():
        context = encode_prompt(models.text_encoder, models.tokenizer, "a person is talking")
    assert context.isfinite().all()
    assert context.shape[1] == 48


def test_repackaged_files_give_the_same_model(models, repackaged_folder):
    other = load_avatar(repackaged_folder, "cpu")
    assert other.config == models.config
    for name in ("dit", "vae", "clip", "audio_encoder", "text_encoder"):
        # Half precision, and three bits of mantissa where a matrix is in fp8.
        bound = 0.07 if name == "text_encoder" else 1e-3
        first = dict(getattr(models, name).named_parameters())
        for key, value in getattr(other, name).named_parameters():
            difference = (value - first[key]).abs()
            assert (difference <= bound * first[key].abs() + bound / 50).all(), key
    assert other.tokenizer("talking")[0].equal(models.tokenizer("talking")[0])


def test_encoders_stay_in_float32_on_a_cpu(authors_folder):
    models = load_avatar(authors_folder, "cpu", torch.bfloat16)
    dtypes = [
        next(module.parameters()).dtype
        for module in (models.dit, models.vae, models.text_encoder, models.clip)
    ]
    assert dtypes == [torch.bfloat16, torch.bfloat16, torch.float32, torch.float32]


def test_a_component_loads_alone_and_again(authors_folder):
    checkpoint = open_avatar(authors_folder)
    first = checkpoint.load(ClipVision, torch.device("cpu"), torch.float32)
    second = checkpoint.load(ClipVision, torch.device("cpu"), torch.float32)
    assert first is not second
    assert all(a.equal(b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_text_encoder_is_never_in_float16():
    """The meta device stands for any device that is no CPU; nothing is computed on it."""
    checkpoint = open_avatar("tiny")
    meta = torch.device("meta")
    text = checkpoint.load(TextEncoder, meta, torch.float16)
    clip = checkpoint.load(ClipVision, meta, torch.float16)
    assert next(text.parameters()).dtype == torch.bfloat16
    assert next(clip.parameters()).dtype == torch.float16


def test_sections_that_the_settings_leave_out_are_reported_in_one_line(authors_folder, caplog):
    open_avatar(authors_folder)
    (record,) = caplog.records
    message = record.getMessage()
    assert message.startswith(str(authors_folder / "flashtalk.json"))
    assert "does not set dit, text, audio, chunk, sampling, prompt;" in message


def test_whole_settings_and_absent_ones_are_not_reported(copied_folder, caplog):
    (copied_folder / "flashtalk.json").unlink()
    find_model_files(copied_folder)
    find_model_files(resolve_model("tiny"))
    assert not caplog.records


def test_a_folder_written_component_by_component_loads(models, authors_folder, tmp_path):
    modules = {
        "dit": models.dit,
        "vae": models.vae,
        "text": models.text_encoder,
        "clip": models.clip,
        "audio": models.audio_encoder,
    }
    for part, module in modules.items():
        save_component(module, tmp_path / COMPONENT_FILES[part], dtype=torch.float32)
    shutil.copyfile(
        authors_folder / "google/umt5-xxl/spiece.model", tmp_path / COMPONENT_FILES["tokenizer"]
    )
    save_settings(models.config, tmp_path)
    again = load_avatar(tmp_path, "cpu")
    assert again.config == models.config
    for key, value in again.dit.named_parameters():
        assert value.equal(models.dit.get_parameter(key))


def test_loading_does_not_keep_files_open(copied_folder):
    models = load_avatar(copied_folder, "cpu")
    before = models.dit.patch_embedding.weight.clone()
    for path in copied_folder.glob("*.safetensors"):
        path.write_bytes(b"\0" * path.stat().st_size)
    assert models.dit.patch_embedding.weight.equal(before)


def test_report_lists_every_part_and_what_is_missing(copied_folder):
    (copied_folder / "Wan2.1_VAE.pth").unlink()
    parts = {found.part: found for found in list_parts(copied_folder)}
    assert len(parts["dit"].paths) == 3
    assert parts["audio"].paths[0].name == "pytorch_model.bin"
    assert parts["vae"].paths == ()
    assert "Wan2.1_VAE.pth" in parts["vae"].problem


def test_tokenizer_inside_the_text_encoder_needs_no_file(repackaged_folder):
    assert find_model_files(repackaged_folder).tokenizer is None


def test_unknown_model_is_reported_with_the_remedy(tmp_path):
    with pytest.raises(WeightsError, match=r"nowhere': no such folder; use 'tiny'"):
        resolve_model(tmp_path / "nowhere")


def set_small_decoder(folder):
    """Write settings as they come with an autoencoder that has a small decoder."""
    settings = json.loads((folder / "flashtalk.json").read_text())
    settings["vae"] |= {"light_widths": [4, 4, 4, 4], "light_blocks": 2, "light_patch": 2}
    (folder / "flashtalk.json").write_text(json.dumps(settings))


def test_a_whole_autoencoder_may_take_the_place_of_one_with_a_small_decoder(copied_folder):
    set_small_decoder(copied_folder)
    config = open_avatar(copied_folder).config.vae
    assert (config.light_widths, config.light_blocks, config.light_patch) == ((), 3, 1)
    assert not load_avatar(copied_folder, "cpu").vae.has_light_decoder


def test_another_small_decoder_may_take_its_place(models, copied_folder):
    set_small_decoder(copied_folder)
    sizes = {"light_widths": (8, 6, 4, 4), "light_blocks": 1, "light_patch": 1}
    config = replace(models.config.vae, **sizes)
    torch.save(VideoVAE(config).state_dict(), copied_folder / "Wan2.1_VAE.pth")
    assert open_avatar(copied_folder).config.vae == config


def test_encoder_of_another_model_is_refused_before_loading(copied_folder):
    settings = json.loads((copied_folder / "flashtalk.json").read_text())
    settings["dit"] = {"audio_blocks": 12}
    (copied_folder / "flashtalk.json").write_text(json.dumps(settings))
    with pytest.raises(WeightsError, match=r"audio layers 3, but the transformer .* takes 12"):
        open_avatar(copied_folder)
