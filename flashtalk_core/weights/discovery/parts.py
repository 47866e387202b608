"""Parts of an avatar model: their file names, where these are looked for and published."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Part = Literal["dit", "vae", "text", "tokenizer", "clip", "audio"]

_HUB = "https://huggingface.co/"
_AUTHORS = "Soul-AILab/SoulX-FlashTalk-14B"
_REPACKAGED = "Comfy-Org/Wan_2.1_ComfyUI_repackaged"
AUDIO_LAYERS = f"wan2.1_infiniteTalk_single_fp16.safetensors of {_HUB}{_REPACKAGED}"
"""InfiniteTalk's audio layers in a file of their own, and where it is published."""


@dataclass(frozen=True)
class PartNames:
    """Names of the files of one part, in order of preference."""

    title: str
    patterns: tuple[str, ...]
    """Shell patterns of file names, compared without case; ``.safetensors`` is ``.sft`` too."""
    folders: tuple[str, ...]
    """Folders below the model's own that are searched too, as shell patterns."""
    repositories: tuple[str, ...]
    """On Hugging Face, that hold it; one of them may be the address of the file itself."""
    own_folders: tuple[str, ...] = ()
    """Folders below one for this kind of part that are searched first, as shell patterns."""
    similar: tuple[str, ...] = ()
    """Other usual names of such files, as shell patterns; these are reported, not used."""
    generic: tuple[str, ...] = ()
    """Those of ``patterns`` that files of any model may have; not looked for in sub-folders."""

    @property
    def published(self) -> str:
        """Where it can be downloaded."""
        return " or ".join(f"{_HUB}{name}" for name in self.repositories)


DIT_INDEX = "diffusion_pytorch_model.safetensors.index.json"
SETTINGS_FILE = "flashtalk.json"
# The library's names, which its transformers of every kind have.
_LIBRARY_DIT = (
    DIT_INDEX,
    "diffusion_pytorch_model.safetensors",
    "diffusion_pytorch_model-*.safetensors",
)

PARTS: dict[Part, PartNames] = {
    "dit": PartNames(
        "diffusion transformer",
        ("*flashtalk*.safetensors", "*flashtalk*.gguf", *_LIBRARY_DIT),
        ("diffusion_models/*flashtalk*", "diffusion_models"),
        (_AUTHORS,),
        ("*flashtalk*",),
        ("*flashtalk*", "*flash-talk*", "*flash_talk*"),
        generic=_LIBRARY_DIT,
    ),
    "vae": PartNames(
        "video autoencoder",
        (
            "Wan2.1_VAE.pth",
            "wan_2.1_vae*.safetensors",
            "wan2.1_vae*.safetensors",
            "wan2_1_vae*.safetensors",
            "vae.safetensors",
        ),
        ("vae",),
        (_AUTHORS, _REPACKAGED),
        similar=("*wan*vae*", "*vae*wan*"),
        generic=("vae.safetensors",),
    ),
    "text": PartNames(
        "text encoder",
        (
            "models_t5_umt5-xxl-enc-bf16.pth",
            "models_t5_umt5-xxl-enc-*.safetensors",
            "umt5_xxl_*.safetensors",
            "umt5-xxl-encoder-*.gguf",
            # After those that contain the tokenizer.
            "umt5-xxl-enc-*.safetensors",
            "text_encoder.safetensors",
        ),
        ("text_encoders", "clip"),
        (_AUTHORS, _REPACKAGED),
        similar=("*umt5*",),
        generic=("text_encoder.safetensors",),
    ),
    "tokenizer": PartNames(
        "tokenizer",
        ("spiece.model",),
        ("google/umt5-xxl", "text_encoders", "text_encoders/google/umt5-xxl"),
        # The file itself, 4.5 MB, instead of a repository.
        ("google/umt5-xxl/resolve/main/spiece.model",),
        ("google/umt5-xxl", "*umt5*"),
        # Every T5 has a file of this name, and most have other tokens in it.
        generic=("spiece.model",),
    ),
    "clip": PartNames(
        "CLIP vision tower",
        (
            "models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth",
            "models_clip_open-clip-xlm-roberta-large-vit-huge-14*.safetensors",
            "clip_vision_h*.safetensors",
            "open-clip-xlm-roberta-large-vit-huge-14*.safetensors",
            "clip_vision.safetensors",
        ),
        ("clip_vision", "text_encoders"),
        (_AUTHORS, _REPACKAGED),
        similar=("*vit-huge-14*", "*clip*vision*h*"),
        generic=("clip_vision.safetensors",),
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
        ("audio_encoders", "wav2vec2", "transformers"),
        ("TencentGameMate/chinese-wav2vec2-base",),
        similar=("*wav2vec*",),
        generic=("audio_encoder.safetensors", "wav2vec2*.safetensors"),
    ),
}  # fmt: skip

AUDIO_FOLDER = "*wav2vec2*"
"""Folders of the audio encoder in the library's own layout."""
DEEP_AUDIO_FOLDER = "*chinese-wav2vec2-base*"
"""The same among folders of many models, where others may be called like :data:`AUDIO_FOLDER`."""
AUDIO_FOLDER_FILES = ("model.safetensors", "pytorch_model.bin")
