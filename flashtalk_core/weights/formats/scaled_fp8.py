"""Weights stored in FP8 with a scale for each tensor or row."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import torch
from torch import Tensor

FP8_MARKER = "scaled_fp8"
"""Name of the tensor that marks a file as quantised."""
TOKENIZER_TENSOR = "spiece_model"
SCALE_SUFFIX = "scale_weight"

SCALE_SUFFIXES = (SCALE_SUFFIX, "weight_scale")
"""Both spellings of a scale's name."""
_SIDECAR_SUFFIXES = (
    *SCALE_SUFFIXES,
    "weight_scale_2",
    "scale_input",
    "input_scale",
    "comfy_quant",
    FP8_MARKER,
)
_BLOCK_ELEMENTS = 2**24


def tokenizer_tensor(names: Iterable[str]) -> str | None:
    """Return which of ``names`` is umT5's tokenizer; whole checkpoints put a prefix before it."""
    return next((name for name in names if name.rpartition(".")[2] == TOKENIZER_TENSOR), None)


def is_sidecar(name: str) -> bool:
    """Whether ``name`` accompanies weights (scale, marker, tokenizer) and is none itself.

    Source: ComfyUI ``convert_old_quants`` and ``QUANTIZATION.md``, for both spellings.
    """
    return name.rpartition(".")[2] in (TOKENIZER_TENSOR, *_SIDECAR_SUFFIXES)


def scale_name(name: str, names: Collection[str]) -> str | None:
    """Return which of ``names`` is the scale of the weight ``name``; ``None`` if it has none."""
    layer, _, leaf = name.rpartition(".")
    if leaf != "weight":
        return None
    candidates = (f"{layer}.{suffix}" for suffix in SCALE_SUFFIXES)
    return next((candidate for candidate in candidates if candidate in names), None)


def is_scale_shape(scale: tuple[int, ...], weight: tuple[int, ...]) -> bool:
    """Whether a scale is one number, or one for each row."""
    if not weight:
        return scale in ((), (1,))
    rows = weight[0]
    return scale in ((), (1,), (rows,), (rows, *(1 for _ in weight[1:])))


def dequantise(weight: Tensor, scale: Tensor, dtype: torch.dtype) -> Tensor:
    """Multiply a stored weight by its scale.

    Args:
        weight: ``(rows, ...)`` FP8.
        scale: One number, or one for each row.
        dtype: Of the result; the product is rounded once.

    Returns:
        ``(rows, ...)`` on the weight's device.
    """
    rows = weight.shape[0]
    factors = scale.to(weight.device, torch.float32).reshape(-1).expand(rows)
    factors = factors.view(rows, *(1 for _ in weight.shape[1:]))
    result = torch.empty(weight.shape, dtype=dtype, device=weight.device)
    # In blocks of rows: the float32 product of a whole embedding would be gigabytes.
    step = max(1, _BLOCK_ELEMENTS * rows // max(1, weight.numel()))
    for start in range(0, rows, step):
        block = slice(start, start + step)
        result[block] = weight[block].float() * factors[block]
    return result
