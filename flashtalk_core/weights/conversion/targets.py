"""What each tensor of a transformer becomes in another format."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from typing import Literal

import torch

Format = Literal["bf16", "fp8", "q8_0", "q4_k"]
SUFFIXES: dict[Format, str] = {
    "bf16": ".safetensors",
    "fp8": ".safetensors",
    "q8_0": ".gguf",
    "q4_k": ".gguf",
}
LIMITS = {"FP8": 0.04, "Q8_0": 0.01, "Q4_K": 0.12}
"""Largest error of a rounded matrix, as a share of it; weights that are spread evenly have 0.026,
0.0053 and 0.072."""
AUDIO = re.compile(r"audio_proj\..*|blocks\.\d+\.(audio_cross_attn|norm_x)\..*")
"""Parameters that ComfyUI's own graph reads from a file of their own."""
_BITS = {"F32": 32, "F16": 16, "BF16": 16, "FP8": 8, "Q8_0": 8.5, "Q4_K": 4.5}
_BLOCK = {"Q8_0": 32, "Q4_K": 256}
"""Numbers of a row that are rounded together."""
_PLAIN = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}
_LAYER = re.compile(r"blocks\.\d+\..*\.weight")
_MIN_MATRIX = 4096
_MAX_KEPT = 100_000
"""Numbers of tensors that keep a wider type: norms, biases and modulations, a thousandth."""


@dataclass(frozen=True)
class TargetTensor:
    """One tensor to be written."""

    name: str
    shape: tuple[int, ...]
    kind: str
    """Type of GGUF, ``FP8`` included, for matrices that are rounded; plain ones by their dtype."""
    dtype: torch.dtype | None
    """Of plain numbers."""

    @property
    def num_bytes(self) -> int:
        """Bytes of its numbers."""
        return round(prod(self.shape) * _BITS[self.kind] / 8)


def target_tensor(
    name: str, shape: tuple[int, ...], stored: torch.dtype | None, form: Format
) -> TargetTensor:
    """Choose how a parameter is written.

    Large matrices of the blocks are rounded, as far as their rows are whole blocks of the format;
    small tensors keep float32 and float16, and all others become bfloat16.

    Args:
        name: Of the parameter.
        shape: Of it.
        stored: Type that it has where it is read.
        form: What was requested.
    """
    kind = _rounding(name, shape, form)
    if kind is not None:
        return TargetTensor(name, shape, kind, None)
    is_kept = prod(shape) <= _MAX_KEPT and stored in (torch.float32, torch.float16)
    dtype = stored if is_kept and stored is not None else torch.bfloat16
    return TargetTensor(name, shape, _PLAIN[dtype], dtype)


def substitutes(targets: Iterable[TargetTensor], form: Format) -> tuple[str, ...]:
    """Return why matrices become something else than the format that was requested."""
    wanted = form.upper()
    if wanted not in _BLOCK:
        return ()
    other = [each for each in targets if _is_matrix(each.name, each.shape) and each.kind != wanted]
    rows = sorted({(each.shape[1], each.kind) for each in other})
    return tuple(
        f"rows of {length} do not divide by {_BLOCK['Q8_0' if length % 32 else wanted]}, so {kind}"
        for length, kind in rows
    )


def _is_matrix(name: str, shape: tuple[int, ...]) -> bool:
    is_large = len(shape) == 2 and prod(shape) >= _MIN_MATRIX
    return is_large and _LAYER.fullmatch(name) is not None


def _rounding(name: str, shape: tuple[int, ...], form: Format) -> str | None:
    if form == "bf16" or not _is_matrix(name, shape):
        return None
    if form == "fp8":
        return "FP8"
    if form == "q4_k" and shape[1] % _BLOCK["Q4_K"] == 0:
        return "Q4_K"
    return "Q8_0" if shape[1] % _BLOCK["Q8_0"] == 0 else None
