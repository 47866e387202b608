"""What a LoRA file holds, held to the transformer it is merged into; only headers are read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ...errors import WeightsError
from ..formats.scaled_fp8 import SCALE_SUFFIXES, is_scale_shape, scale_name
from ..formats.shown import shown, some
from ..formats.source import TensorSource, without_ones
from .forms import Form, Shape, Sizes, form_of

NAMES_SHOWN = 5
_INPUT = "patch_embedding.weight"
_WHOLE = ("diff", "set")
"""Parts that have the shape of the parameter."""
_REFUSED = {
    (".dora_scale", ".magnitude_vector"): "a DoRA ({}), whose scales cannot be added to weights",
    (".oft_blocks", ".oft_diag", ".oft_R.weight"): "an OFT ({}), which turns weights",
    (".a1.weight", ".b1.weight"): "a GLoRA ({}), whose change depends on the weights",
}
"""Endings of names by what a file with them is."""


def check_any(file: TensorSource, found: Mapping[str, object], unknown: Sequence[str]) -> None:
    """Refuse a file of another kind, and one of which nothing is about this transformer."""
    for endings, what in _REFUSED.items():
        names = [key for key in unknown if key.endswith(endings)]
        if names:
            raise WeightsError(
                f"lora {file.label}: {what.format(some(names, NAMES_SHOWN))}; take a plain LoRA, "
                "LoHa or LoKr"
            )
    if not found:
        raise WeightsError(
            f"lora {file.label}: none of its {len(file.infos)} tensors "
            f"({some(unknown, NAMES_SHOWN)}) belongs to this transformer; take a LoRA for Wan 2.1 "
            "14B with keys of kohya, LyCORIS, diffusers or ComfyUI"
        )


def check_stored(file: TensorSource, parts: Mapping[str, str]) -> None:
    """Refuse tensors that are no floating-point numbers, and scales that cannot be applied."""
    for part, name in parts.items():
        info = file.infos[name]
        if part == "alpha" and math.prod(info.shape) != 1:
            raise WeightsError(
                f"lora {file.label}: {shown(name)} {info.shape} is to be one number; the file "
                "is damaged, download it again"
            )
        if part != "alpha" and (info.dtype is None or info.form is not None):
            raise WeightsError(
                f"lora {file.label}: {shown(name)} is stored in a quantised form that is not "
                "read; take the bf16, fp16 or fp32 version of this file"
            )
        if part != "alpha":
            _check_scale(file, name)


def _check_scale(file: TensorSource, name: str) -> None:
    """Refuse a tensor that has a scale of another form than is applied, or has lost its own."""
    info, applied = file.infos[name], scale_name(name, file.infos)
    owners = (name, name.rpartition(".")[0])
    known = [f"{owner}.{suffix}" for owner in owners for suffix in SCALE_SUFFIXES]
    found = next((each for each in known if each in file.infos), None)
    if found is None:
        wrong = f"{shown(name)} has lost the scale of its FP8" if info.needs_scale else None
    else:
        stored = file.infos[found]
        fits = found == applied and is_scale_shape(stored.shape, info.shape)
        is_read = fits and stored.dtype is not None
        wrong = None if is_read else f"{shown(found)} is no scale that is known for {shown(name)}"
    if wrong is not None:
        raise WeightsError(
            f"lora {file.label}: {wrong}; take the bf16, fp16 or fp32 version of this file"
        )


def check_parts(file: TensorSource, parameter: str, parts: Mapping[str, str], shape: Shape) -> None:
    """Refuse parts of one parameter that do not go together or are of another size."""
    sizes = sizes_of(file, parts)
    form = form_of(parts)
    fits = all(
        without_ones(sizes[part]) == without_ones(shape)
        for part in ("diff", "set")
        if part in parts
    )
    if form is not None:
        _check_form(file, form, parts, sizes)
        fits = fits and _columns(form.shape(sizes)) == _columns(shape)
    if not fits:
        given = ", ".join(f"{shown(parts[part])} {size}" for part, size in sizes.items() if size)
        raise WeightsError(
            f"lora {file.label}: {given}, but {parameter} of this model is {shape}; the file "
            "belongs to a model of another size"
        )


def is_of_other_input(
    file: TensorSource, parameter: str, parts: Mapping[str, str], shape: Shape
) -> bool:
    """Whether parts are about a patch embedding that takes other channels than this one.

    Files for text to video have one for 16 channels, where image to video takes 36; they are
    used with both, without it.
    """
    if parameter != _INPUT:
        return False
    sizes, form = sizes_of(file, parts), form_of(parts)
    given = sizes.get("diff", sizes.get("set"))
    if form is not None:
        given = None if form.missing(sizes) else form.shape(sizes)
    found, wanted = _columns(given), _columns(shape)
    return found is not None and wanted is not None and found[0] == wanted[0] and found != wanted


def sizes_of(file: TensorSource, parts: Mapping[str, str]) -> Sizes:
    """Return the shapes of the tensors of one parameter, by part."""
    return {part: file.infos[name].shape for part, name in parts.items()}


def _check_form(file: TensorSource, form: Form, parts: Mapping[str, str], sizes: Sizes) -> None:
    middle = next((part for part in form.middle if part in parts), None)
    if middle is not None:
        raise WeightsError(
            f"lora {file.label}: {shown(parts[middle])} is the middle factor of a LoCon, which is "
            "not known here; take a plain LoRA"
        )
    given = [part for part in parts if part in form.parts]
    others = [part for part in parts if part not in (*given, *_WHOLE, "alpha")]
    if others:
        raise WeightsError(
            f"lora {file.label}: {shown(parts[given[0]])} and {shown(parts[others[0]])} are about "
            "the same weights; remove one of them"
        )
    if form.missing(sizes):
        raise WeightsError(
            f"lora {file.label}: {shown(parts[given[0]])} has no counterpart; the file is "
            "incomplete, download it again"
        )
    empty = [f"{shown(parts[part])} {sizes[part]}" for part in given if 0 in sizes[part]]
    if empty:
        raise WeightsError(
            f"lora {file.label}: {' and '.join(empty)} hold nothing, need a rank of at least 1; "
            "download it again"
        )


def _columns(shape: Shape | None) -> tuple[int, int] | None:
    """Return a shape as rows and columns; ``None`` if it has none."""
    return (shape[0], math.prod(shape[1:])) if shape else None
