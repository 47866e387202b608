"""Components written back as safetensors, in the layout that the loader reads."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

from ..config.avatar import AvatarConfig
from ..files.replacing import replacing
from ..models.encoders.clip_vision import ClipVision
from ..models.encoders.text import TextEncoder
from ..quantization.fp8 import quantise_rows
from .discovery.parts import SETTINGS_FILE, Part
from .formats.scaled_fp8 import FP8_MARKER, SCALE_SUFFIX, TOKENIZER_TENSOR
from .mapping.key_maps import published_clip_name, published_text_name

COMPONENT_FILES: dict[Part, str] = {
    "dit": "diffusion_pytorch_model.safetensors",
    "vae": "vae.safetensors",
    "text": "text_encoder.safetensors",
    "clip": "clip_vision.safetensors",
    "audio": "audio_encoder.safetensors",
    "tokenizer": "spiece.model",
}
"""Names under which the loader finds saved components in one folder."""

_MIN_FP8_ELEMENTS = 4096


def save_component(
    module: nn.Module,
    path: Path,
    *,
    dtype: torch.dtype = torch.float16,
    fp8: bool = False,
    tokenizer: bytes | None = None,
) -> None:
    """Write a component's parameters.

    Args:
        module: Any component; text encoder and vision tower get the repackaged files' names.
        path: ``.safetensors`` file; replaced only when it has been written in full.
        dtype: Of what is stored; a tensor too large for it stays float32.
        fp8: Store matrices of at least 4096 elements as float8_e4m3fn with one float32 scale
            for each row (``scale_weight``).
        tokenizer: Content of a ``spiece.model`` to embed, for a text encoder.

    Raises:
        OutputError: If the file cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    rename = _published_name(module)
    tensors: dict[str, Tensor] = {}
    for name, parameter in module.named_parameters():
        value = parameter.detach().cpu()
        stored = rename(name)
        layer, _, leaf = stored.rpartition(".")
        if fp8 and leaf == "weight" and value.dim() == 2 and value.numel() >= _MIN_FP8_ELEMENTS:
            tensors[stored], tensors[f"{layer}.{SCALE_SUFFIX}"] = quantise_rows(value)
        else:
            tensors[stored] = _narrowed(value, dtype)
    if fp8:
        # Two elements make ComfyUI multiply in full precision.
        tensors[FP8_MARKER] = torch.zeros(2, dtype=torch.float8_e4m3fn)
    if tokenizer is not None:
        tensors[TOKENIZER_TENSOR] = torch.frombuffer(bytearray(tokenizer), dtype=torch.uint8)
    with replacing(path) as temporary:
        try:
            save_file(tensors, temporary, metadata={"format": "pt"})
        except SafetensorError as error:
            # The library wraps the system's error.
            raise OSError(str(error)) from error


def save_settings(config: AvatarConfig, folder: Path) -> None:
    """Write ``flashtalk.json``, which holds the whole configuration.

    Raises:
        OutputError: If the file cannot be written.
    """
    with replacing(folder / SETTINGS_FILE) as temporary:
        temporary.write_text(json.dumps(asdict(config), indent=1) + "\n", encoding="utf-8")


def _published_name(module: nn.Module) -> Callable[[str], str]:
    if isinstance(module, TextEncoder):
        return published_text_name
    return published_clip_name if isinstance(module, ClipVision) else str


def _narrowed(value: Tensor, dtype: torch.dtype) -> Tensor:
    limit = torch.finfo(dtype).max
    fits = value.numel() == 0 or float(value.abs().max()) <= limit
    return value.to(dtype if fits else torch.float32).contiguous()
