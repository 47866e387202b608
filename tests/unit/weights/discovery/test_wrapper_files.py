"""The files of the WanVideoWrapper's users at full size: names, layout and keys are real."""

import pytest

from flashtalk_core.weights.diagnosis import find_part_errors
from flashtalk_core.weights.discovery.choice import choose_model_files
from flashtalk_core.weights.discovery.layout import resolve_model
from tests.large_files import plain, scaled, shapes_of, write_sparse

pytestmark = pytest.mark.cpu

FOLDERS = {
    "dit": ["diffusion_models"],
    "vae": ["vae"],
    "text": ["text_encoders"],
    "tokenizer": ["text_encoders", "../custom_nodes/ComfyUI-WanVideoWrapper/configs/T5_tokenizer"],
    "clip": ["clip_vision", "text_encoders"],
    "audio": ["audio_encoders", "wav2vec2", "transformers"],
}


VISION = "text_encoders/open-clip-xlm-roberta-large-vit-huge-14_visual_fp16.safetensors"


def spelled_as_before(name):
    """Name a tensor of wav2vec2 as PyTorch did before it had parametrizations."""
    name = name.replace("parametrizations.weight.original0", "weight_g")
    return "wav2vec2." + name.replace("parametrizations.weight.original1", "weight_v")


def test_every_part_is_found_and_fits(tmp_path):
    models = tmp_path / "models"
    clip = {name: at for name, at in shapes_of("official_clip").items() if "textual." not in name}
    audio = {spelled_as_before(name): at for name, at in shapes_of("hf_wav2vec2_base").items()}
    files = {
        "diffusion_models/Wan/flashtalk_14B_fp8_e4m3fn_scaled_KJ.safetensors": scaled(
            shapes_of("official_dit")
        ),
        "vae/wanvideo/Wan2_1_VAE_bf16.safetensors": plain(shapes_of("official_vae")),
        "text_encoders/umt5-xxl-enc-bf16.safetensors": plain(shapes_of("official_umt5")),
        VISION: plain(clip),
        "wav2vec2/wav2vec2-chinese-base_fp16.safetensors": plain(audio),
    }
    for name, tensors in files.items():
        write_sparse(models / name, tensors)
    tokenizer = models / FOLDERS["tokenizer"][1] / "spiece.model"
    tokenizer.parent.mkdir(parents=True)
    tokenizer.write_bytes((resolve_model("tiny") / "spiece.model").read_bytes())
    places = {part: [models / name for name in names] for part, names in FOLDERS.items()}
    assert find_part_errors(places, {}) == []
    found = choose_model_files(places, {})
    assert found.tokenizer == tokenizer
    used = (*found.dit, found.vae, found.text, found.clip, found.audio)
    assert {str(path.relative_to(models)) for path in used} == {*files}
