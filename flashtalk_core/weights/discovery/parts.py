"""Parts of an avatar model: their file names, where these are looked for and published."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Part = Literal["dit", "vae", "text", "tokenizer", "clip", "audio"]

_AUTHORS = "Soul-AILab/SoulX-FlashTalk-14B"
_REPACKAGED = "Comfy-Org/Wan_2.1_ComfyUI_repackaged"


@dataclass(frozen=True)
class PartNames:
    """Names of the files of one part, in order of preference."""

    title: str
    patterns: tuple[str, ...]
    """Shell patterns of file names, compared without case."""
    folders: tuple[str, ...]
    """Folders below the model's own that are searched too, as shell patterns."""
    repositories: tuple[str, ...]
    """On Hugging Face, that hold it."""
    own_folders: tuple[str, ...] = ()
    """Folders below one for this kind of part that are searched too, as shell patterns."""
    similar: tuple[str, ...] = ()
    """Other usual names of such files, as shell patterns; these are reported, not used."""

    @property
    def published(self) -> str:
        """Where it can be downloaded."""
        return " or ".join(f"https://huggingface.co/{name}" for name in self.repositories)


DIT_INDEX = "diffusion_pytorch_model.safetensors.index.json"
SETTINGS_FILE = "flashtalk.json"

PARTS: dict[Part, PartNames] = {
    "dit": PartNames(
        "diffusion transformer",
        (
            # The other names are those of any transformer in the library's layout.
            "*flashtalk*.safetensors",
            "*flashtalk*.gguf",
            DIT_INDEX,
            "diffusion_pytorch_model.safetensors",
            "diffusion_pytorch_model-*.safetensors",
        ),
        ("diffusion_models/*flashtalk*", "diffusion_models"),
        (_AUTHORS,),
        ("*flashtalk*",),
        ("*flashtalk*", "*flash-talk*", "*flash_talk*"),
    ),
    "vae": PartNames(
        "video autoencoder",
        (
            "Wan2.1_VAE.pth",
            "wan_2.1_vae*.safetensors",
            "wan2.1_vae*.safetensors",
            "vae.safetensors",
        ),
        ("vae",),
        (_AUTHORS, _REPACKAGED),
        similar=("*wan*vae*", "*vae*wan*"),
    ),
    "text": PartNames(
        "text encoder",
        (
            "models_t5_umt5-xxl-enc-bf16.pth",
            "models_t5_umt5-xxl-enc-*.safetensors",
            "umt5_xxl_*.safetensors",
            "umt5-xxl-encoder-*.gguf",
            "text_encoder.safetensors",
        ),
        ("text_encoders", "clip"),
        (_AUTHORS, _REPACKAGED),
        similar=("*umt5*",),
    ),
    "tokenizer": PartNames(
        "tokenizer",
        ("spiece.model",),
        ("google/umt5-xxl", "text_encoders", "text_encoders/google/umt5-xxl"),
        (_AUTHORS,),
        ("google/umt5-xxl",),
    ),
    "clip": PartNames(
        "CLIP vision tower",
        (
            "models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth",
            "models_clip_open-clip-xlm-roberta-large-vit-huge-14*.safetensors",
            "clip_vision_h*.safetensors",
            "clip_vision.safetensors",
        ),
        ("clip_vision",),
        (_AUTHORS, _REPACKAGED),
        similar=("*vit-huge-14*", "*clip*vision*h*"),
    ),
    "audio": PartNames(
        "audio encoder",
        (
            "wav2vec2*chinese*.safetensors",
            "chinese-wav2vec2*.safetensors",
            "audio_encoder.safetensors",
            # Last: other video models have their own.
            "wav2vec2*.safetensors",
        ),
        ("audio_encoders",),
        ("TencentGameMate/chinese-wav2vec2-base",),
        similar=("*wav2vec*",),
    ),
}

AUDIO_FOLDER = "*wav2vec2*"
"""Folders of the audio encoder in the library's own layout."""
AUDIO_FOLDER_FILES = ("model.safetensors", "pytorch_model.bin")
