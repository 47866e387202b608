"""InfiniteTalk's files: a transformer without audio layers, and these in a file of their own."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from flashtalk_core.engine.notes import model_notes
from flashtalk_core.engine.resolve import LocalHost
from flashtalk_core.engine.spec import ModelSpec
from flashtalk_core.errors import WeightsError
from flashtalk_core.models.transformer.model import AvatarDiT
from flashtalk_core.weights.discovery.audio_layers import AudioLayers
from flashtalk_core.weights.discovery.choice import find_part
from flashtalk_core.weights.discovery.layout import find_model_files, list_parts, resolve_model
from flashtalk_core.weights.load import open_checkpoint
from flashtalk_core.weights.lora.merge import LoraFile
from tests.gguf_files import write_file
from tests.large_files import plain, scaled, shapes_of, write_large_model, write_sparse

pytestmark = pytest.mark.cpu

CPU = torch.device("cpu")
TINY = find_model_files(resolve_model("tiny"))
BASE = "diffusion_models/wan/wan2.1_i2v_480p_14B_fp8_scaled.safetensors"
LAYERS = "model_patches/wan2.1_infiniteTalk_single_fp16.safetensors"
KIJAI = "diffusion_models/InfiniteTalk/Wan2_1-InfiniteTalk-Single_fp8_e4m3fn_scaled_KJ.safetensors"


def is_audio(name):
    return "audio" in name or "norm_x" in name


def halves(tensors):
    """Return the tensors of a transformer, and of its audio layers."""
    base = {name: value for name, value in tensors.items() if not is_audio(name)}
    return base, {name: value for name, value in tensors.items() if is_audio(name)}


@pytest.fixture
def models(tmp_path):
    """A folder of all models with the tiny model in two halves, the first as ComfyUI saves it."""
    base, layers = halves(load_file(TINY.dit[0]))
    base = {f"model.diffusion_model.{name}": value for name, value in base.items()}
    write(tmp_path / BASE, base)
    write(tmp_path / LAYERS, layers | {"model_type.InfiniteTalk": torch.zeros(1)})
    settings = json.loads((TINY.root / "flashtalk.json").read_text())
    for key in ("chunk", "sampling", "name"):
        del settings[key]
    (tmp_path / "flashtalk.json").write_text(json.dumps(settings))
    shutil.copy(TINY.vae, tmp_path / "vae.safetensors")
    shutil.copy(TINY.clip, tmp_path / "clip_vision.safetensors")
    shutil.copy(TINY.text, tmp_path / "text_encoder.safetensors")
    shutil.copy(TINY.tokenizer, tmp_path / "spiece.model")
    shutil.copy(TINY.audio, tmp_path / "audio_encoder.safetensors")
    return tmp_path


def write(path, tensors):
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path)
    return path


def write_gguf_base(path):
    dit = open_checkpoint(TINY).load(AvatarDiT, CPU, torch.float32)
    return write_file(path, halves(dict(dit.named_parameters()))[0], "Q8_0")


def refusal(call, *args):
    with pytest.raises(WeightsError) as caught:
        call(*args)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_both_halves_make_the_transformer(models):
    files = find_model_files(models)
    assert files.dit == (models / BASE, models / LAYERS)
    expected = dict(open_checkpoint(TINY).load(AvatarDiT, CPU, torch.float32).named_parameters())
    found = open_checkpoint(files).load(AvatarDiT, CPU, torch.float32)
    assert all(value.equal(expected[name]) for name, value in found.named_parameters())


@pytest.mark.parametrize(
    "name", ["wan2.1-i2v-14b-480p-Q4_K_M.gguf", "Wan2_1-I2V-14B-720P-Q8_0.gguf"]
)
def test_the_transformer_may_be_gguf(models, name):
    """In one folder of the whole model, and in folders of parts, as the Model Loader has them."""
    (models / BASE).unlink()
    path = write_gguf_base(models / "diffusion_models" / name)
    files = find_model_files(models)
    assert files.dit == (path, models / LAYERS)
    checkpoint = open_checkpoint(files)
    assert checkpoint.is_infinite_talk
    assert checkpoint.packings()
    places = {"dit": [models / "diffusion_models"]}
    layers = AudioLayers(places=(models / "model_patches",))
    assert find_part("dit", places, {}, layers) == files.dit


@pytest.mark.parametrize("is_whole", [False, True])
def test_a_pickled_transformer_gets_them_if_it_has_none(models, is_whole):
    tensors = load_file(TINY.dit[0])
    path = models / "diffusion_models" / "wan.pth"
    torch.save(tensors if is_whole else halves(tensors)[0], path)
    layers = AudioLayers(places=(models / "model_patches",))
    found = find_part("dit", {}, {"dit": path}, layers)
    assert found == ((path,) if is_whole else (path, models / LAYERS))


def test_480p_goes_before_other_sizes_in_any_format(models):
    path = write_gguf_base(models / "wan2.1-i2v-14b-480p-Q8_0.gguf")
    (models / BASE).rename(models / "wan2.1_i2v_720p_14B_fp16.safetensors")
    assert find_model_files(models).dit == (path, models / LAYERS)


def test_the_defaults_are_those_of_infinitetalk(models):
    files = find_model_files(models)
    checkpoint = open_checkpoint(files)
    chunk, sampling = checkpoint.config.chunk, checkpoint.config.sampling
    assert (chunk.num_frames, chunk.num_motion_frames) == (81, 9)
    assert (sampling.rule, checkpoint.config.name) == ("euler", "InfiniteTalk")
    assert (sampling.steps, sampling.shift) == (4, 3.0)
    assert files.chunk == chunk


def test_its_settings_go_before_them(models):
    settings = json.loads((models / "flashtalk.json").read_text())
    settings |= {"chunk": {"num_frames": 41}, "sampling": {"rule": "renoise"}, "name": "mine"}
    (models / "flashtalk.json").write_text(json.dumps(settings))
    config = open_checkpoint(find_model_files(models)).config
    assert (config.chunk.num_frames, config.chunk.num_motion_frames) == (41, 9)
    assert (config.sampling.rule, config.name) == ("renoise", "mine")


def test_without_a_lora_a_note_says_what_is_needed(models, tmp_path):
    files = find_model_files(models)
    (note,) = model_notes(open_checkpoint(files))
    assert note.startswith("InfiniteTalk without a LoRA: ")
    lora = write(tmp_path / "lora.safetensors", {"patch_embedding.diff_b": torch.zeros(176)})
    assert model_notes(open_checkpoint(files, loras=[LoraFile(lora)])) == []
    assert model_notes(open_checkpoint(TINY)) == []


def test_the_command_line_takes_a_file_of_any_name_and_place(models, tmp_path):
    chosen = shutil.move(models / LAYERS, tmp_path / "layers.sft")
    files = LocalHost().find_files(ModelSpec(name=str(models), audio_layers=str(chosen)))
    assert files.dit == (models / BASE, tmp_path / "layers.sft")
    # No file is named after InfiniteTalk: the defaults are FlashTalk's.
    assert open_checkpoint(files).config.chunk.num_frames == 33
    missing = ModelSpec(name=str(models), audio_layers=str(tmp_path / "gone.safetensors"))
    message = refusal(LocalHost().find_files, missing)
    assert message.startswith(f"audio layers {tmp_path / 'gone.safetensors'}: no such file")


def test_none_takes_no_other_file(models):
    (models / "flashtalk.safetensors").write_bytes((models / BASE).read_bytes())
    spec = ModelSpec(name=str(models), audio_layers="none")
    assert LocalHost().find_files(spec).dit == (models / "flashtalk.safetensors",)


def test_those_for_one_speaker_go_first_and_other_files_are_passed_over(models):
    path = models / KIJAI.replace("Single", "Multi")
    write(path, load_file(models / LAYERS))
    merged = models / "diffusion_models" / "A-InfiniteTalk-merged.safetensors"
    write(merged, load_file(TINY.dit[0]))
    (models / "model_patches" / "AAA_infinitetalk.safetensors").write_bytes(b"<html>")
    assert find_model_files(models).dit == (models / BASE, models / LAYERS)
    (models / LAYERS).unlink()
    assert find_model_files(models).dit == (models / BASE, path)


def test_a_transformer_with_audio_layers_keeps_its_own(models):
    shutil.copy(TINY.dit[0], models / "FlashTalk.safetensors")
    assert find_model_files(models).dit == (models / "FlashTalk.safetensors",)
    files = find_model_files(models, models / LAYERS)
    message = refusal(open_checkpoint, files)
    assert "is in" in message
    assert message.endswith(
        "audio layers of a file of their own are for a transformer that has none"
    )


def test_a_transformer_alone_says_what_is_missing(models):
    (models / LAYERS).unlink()
    (models / BASE).rename(models / "flashtalk.safetensors")
    message = refusal(open_checkpoint, find_model_files(models))
    assert "without audio layers, which cannot follow speech; choose InfiniteTalk's as" in message
    assert (
        "wan2.1_infiniteTalk_single_fp16.safetensors of https://huggingface.co/Comfy-Org" in message
    )


@pytest.mark.parametrize("choice", ["auto", "none"])
def test_a_transformer_under_its_own_name_is_found_and_says_it_too(models, choice):
    (models / LAYERS).unlink()
    (models / BASE).rename(models / "wan2.1_i2v_480p_tiny.safetensors")
    spec = ModelSpec(name=str(models), audio_layers=choice)
    message = refusal(lambda: open_checkpoint(LocalHost().find_files(spec)))
    assert "wan2.1_i2v_480p_tiny.safetensors: holds a Wan 2.1 transformer without audio" in message
    assert "choose InfiniteTalk's as audio layers (wan2.1_infiniteTalk_single_fp16" in message
    assert all(row.problem is None for row in list_parts(models) if row.part == "dit")


@pytest.mark.parametrize("name", ["other.safetensors", "other.pth"])
def test_a_chosen_file_without_audio_layers_is_named(models, tmp_path, name):
    path, tensors = tmp_path / name, {"a": torch.zeros(2)}
    torch.save(tensors, path) if path.suffix == ".pth" else save_file(tensors, path)
    message = refusal(find_model_files, models, path)
    assert message.startswith(
        f"audio layers {path}: none of its 1 tensors (a) are audio layers; choose wan2.1_infinite"
    )
    path.write_bytes(b"junk that is no file of tensors")
    message = refusal(find_model_files, models, path)
    assert message.startswith(f"audio layers {path}: ")
    assert message.endswith("download it again") or "repeat its download" in message


def test_a_folder_is_no_file_of_audio_layers(models):
    message = refusal(find_model_files, models, models / "model_patches")
    assert message.endswith("model_patches: this is a folder; name a file in it")


def test_audio_layers_alone_say_what_they_belong_to(models):
    (models / LAYERS).rename(models / "flashtalk.safetensors")
    message = refusal(open_checkpoint, find_model_files(models))
    assert "audio layers without the transformer" in message
    assert "choose it as audio layers and Wan 2.1 image to video, 14B, as model" in message


def test_a_transformer_of_text_to_video_says_so(models):
    base = load_file(models / BASE)
    write(models / BASE, {name: value for name, value in base.items() if "img_emb" not in name})
    message = refusal(open_checkpoint, find_model_files(models))
    assert "without image layers (img_emb), of text to video or of Wan 2.2" in message


@pytest.mark.parametrize("name", [LAYERS, KIJAI])
def test_the_full_size_in_the_forms_that_people_have(tmp_path, name):
    write_large_model(tmp_path, TINY.tokenizer)
    (tmp_path / "diffusion_models/flashtalk_14b_fp8_scaled.safetensors").unlink()
    base, layers = halves(shapes_of("official_dit"))
    write_sparse(tmp_path / BASE, scaled(base))
    write_sparse(tmp_path / name, plain(layers) if name == LAYERS else scaled(layers))
    assert all(row.problem is None for row in list_parts(tmp_path) if row.part == "dit")
    files = find_model_files(tmp_path)
    assert files.dit == (tmp_path / BASE, tmp_path / name)
    assert open_checkpoint(files).is_infinite_talk
