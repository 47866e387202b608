"""Files under the names and in the folders that people have them in are found by `auto`."""

import pytest

from flashtalk_core.errors import WeightsError
from flashtalk_core.weights.discovery.menu import list_transformers
from flashtalk_core.weights.discovery.search import in_model_folder, in_part_folders

pytestmark = pytest.mark.cpu

VISION = "open-clip-xlm-roberta-large-vit-huge-14_visual_fp16.safetensors"
LIBRARY = "chinese-wav2vec2-base/pytorch_model.bin"
FILES = [
    ("dit", "diffusion_models/wan/SoulX-FlashTalk_fp8.safetensors"),
    ("dit", "diffusion_models/flashtalk.sft"),
    ("vae", "vae/Wan2_1_VAE_bf16.safetensors"),
    ("vae", "vae/Wan2_1_VAE_fp32.safetensors"),
    ("vae", "vae/wan/wan_2.1_vae.safetensors"),
    ("vae", "vae/video/wan/Wan2.1_VAE.pth"),
    ("vae", "vae/wan_2.1_vae.sft"),
    ("text", "text_encoders/umt5-xxl-enc-bf16.safetensors"),
    ("text", "text_encoders/umt5-xxl-enc-fp8_e4m3fn.safetensors"),
    ("text", "text_encoders/wan/umt5_xxl_fp16.safetensors"),
    ("clip", f"clip_vision/{VISION}"),
    ("clip", f"clip_vision/wan/{VISION}"),
    ("clip", f"text_encoders/{VISION}"),
    ("audio", "wav2vec2/wav2vec2-chinese-base_fp16.safetensors"),
    ("audio", "audio_encoders/wan/wav2vec2-chinese-base_fp16.safetensors"),
    ("audio", f"transformers/TencentGameMate/{LIBRARY}"),
    ("audio", f"wav2vec2/{LIBRARY}"),
]
PLACES = {
    "dit": ["diffusion_models"],
    "vae": ["vae"],
    "text": ["text_encoders"],
    "clip": ["clip_vision", "text_encoders"],
    "audio": ["audio_encoders", "wav2vec2", "transformers"],
}


def fill(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder / names[0]


def found(models, part):
    return in_part_folders([models / name for name in PLACES[part]], part).run()


@pytest.mark.parametrize(("part", "name"), FILES)
def test_a_file_is_found_in_the_folders_of_its_kind(tmp_path, part, name):
    path = fill(tmp_path, name)
    assert found(tmp_path, part) == (path,)


@pytest.mark.parametrize(("part", "name"), FILES)
def test_a_file_is_found_in_a_folder_of_all_models(tmp_path, part, name):
    path = fill(tmp_path, name)
    assert in_model_folder(tmp_path, part).run() == (path,)


def test_what_lies_in_the_folder_itself_goes_first(tmp_path):
    fill(tmp_path, "vae/a/wan_2.1_vae.safetensors")
    path = fill(tmp_path, "vae/wan_2.1_vae_fp16.safetensors")
    assert found(tmp_path, "vae") == (path,)


def test_a_text_encoder_that_contains_its_tokenizer_goes_first(tmp_path):
    fill(tmp_path, "text_encoders/umt5-xxl-enc-bf16.safetensors")
    name = "text_encoders/wan/umt5_xxl_fp16.safetensors"
    path = fill(tmp_path, name)
    assert found(tmp_path, "text") == (path,)


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ("dit", "diffusion_models/qwen/diffusion_pytorch_model.safetensors"),
        ("vae", "vae/sdxl/vae.safetensors"),
        ("text", "text_encoders/flux/text_encoder.safetensors"),
        ("clip", "clip_vision/flux/clip_vision.safetensors"),
        ("audio", "audio_encoders/s2v/wav2vec2_large_english_fp16.safetensors"),
        ("audio", "transformers/facebook/wav2vec2-base-960h/pytorch_model.bin"),
        ("vae", "vae/a/b/c/wan_2.1_vae.safetensors"),
        ("vae", "vae/.cache/wan_2.1_vae.safetensors"),
    ],
)
def test_a_sub_folder_gives_nothing_that_another_model_may_have(tmp_path, part, name):
    fill(tmp_path, name)
    with pytest.raises(WeightsError, match="not found in"):
        found(tmp_path, part)


def test_the_folder_of_all_models_is_not_walked_for_its_own_part(tmp_path):
    """The transformer's folder and the one above it are searched as well, but not all below."""
    fill(tmp_path, "checkpoints/other/Wan2_1_VAE_bf16.safetensors")
    home = tmp_path / "diffusion_models"
    home.mkdir()
    with pytest.raises(WeightsError, match="not found in"):
        in_part_folders([home, tmp_path], "vae").run()


def test_both_endings_of_safetensors_are_in_the_menu(tmp_path):
    fill(tmp_path, "a.sft", "b.safetensors", "wan_2.1_vae.sft", "Wan2_1_VAE_bf16.sft", "c.pth")
    assert list_transformers([tmp_path]) == ["a.sft", "b.safetensors"]
