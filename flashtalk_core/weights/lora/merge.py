"""LoRA files, merged into the transformer's weights while these are read.

Axis legend: R rank, I inputs, O outputs.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ...errors import WeightsError, require
from ...excerpt import excerpt
from ...files.paths import check_file
from ...log import printable_log
from ..formats.file_border import file_identity
from ..formats.shown import shown, some
from ..formats.source import TensorSource, without_ones
from ..formats.tensor_file import open_tensor_file
from .names import LayerNames

logger = printable_log(logging.getLogger(__name__))

_MAX_STRENGTH = 10.0
_NAMES_SHOWN, _NAMES_LOGGED = 5, 500
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class LoraFile:
    """A file and how much of it is added."""

    path: Path
    strength: float = 1.0
    """Factor; negative subtracts the file's update."""

    def __repr__(self) -> str:
        return f"LoraFile({excerpt(self.path.name)} x {self.strength:g})"

    def __post_init__(self) -> None:
        require(
            math.isfinite(self.strength) and abs(self.strength) <= _MAX_STRENGTH,
            f"lora strength {self.strength}: use -{_MAX_STRENGTH:g} to {_MAX_STRENGTH:g} (1 is as "
            "trained)",
            subject="lora_strength",
        )
        check_file(self.path, "lora")

    @property
    def identity(self) -> str:
        """Name, size, time of change and strength; text for a fingerprint."""
        return f"{file_identity(self.path)} {self.strength!r}"


@dataclass(frozen=True)
class Factors:
    """What one file adds to one parameter: the product of two factors, or a difference."""

    file: TensorSource
    strength: float
    names: Mapping[str, str]
    """Tensors of the file: ``up`` and ``down`` and perhaps ``alpha``, or ``diff``, or both."""

    def __repr__(self) -> str:
        return f"Factors({', '.join(self.names)} of {self.file!r} x {self.strength:g})"

    def added_to(self, weight: Tensor) -> Tensor:
        """Return ``weight``, float32 of any shape, with this added to it."""
        with self.file.reading() as read:
            found = {part: read(name).to(weight.device) for part, name in self.names.items()}
        if "diff" in found:
            weight = weight + self.strength * found["diff"].float().reshape(weight.shape)
        if "up" not in found:
            return weight
        up, down = found["up"].float().flatten(1), found["down"].float().flatten(1)
        scale = self.strength
        if "alpha" in found:
            scale *= self._alpha(found["alpha"]) / down.shape[0]
        return weight + scale * (up @ down).reshape(weight.shape)

    def _alpha(self, stored: Tensor) -> float:
        alpha = math.nan if stored.is_complex() else float(stored)
        if not math.isfinite(alpha):
            raise WeightsError(
                f"lora {self.file.label}: {shown(self.names['alpha'])} is {alpha}, need a finite "
                "number; download it again"
            )
        return alpha


@dataclass(frozen=True)
class LoraMerge:
    """What files add to parameters."""

    factors: Mapping[str, tuple[Factors, ...]]
    """By parameter, in the order of the files."""

    def __repr__(self) -> str:
        return f"LoraMerge(of {len(self.factors)} parameters)"

    def merge(self, parameter: str, weight: Tensor, dtype: torch.dtype) -> Tensor:
        """Return ``weight``, float32, with everything added, rounded once to ``dtype``."""
        for factors in self.factors.get(parameter, ()):
            weight = factors.added_to(weight)
        return weight.to(dtype)


def plan_loras(loras: Sequence[LoraFile], shapes: Shapes) -> LoraMerge:
    """Match LoRA files with parameters; only headers are read.

    Args:
        loras: Files, added in this order.
        shapes: Of the transformer's parameters, by name.

    Raises:
        WeightsError: If a file is damaged, of another form or model, or nothing in it matches.
    """
    names = LayerNames(shapes)
    planned: dict[str, tuple[Factors, ...]] = {}
    for lora in loras:
        file = open_tensor_file(lora.path)
        found, unknown = _match(file, names, shapes)
        _check_any(file, found, unknown)
        for parameter, parts in found.items():
            _check_stored(file, parts)
            _check_parts(file, parameter, parts, shapes[parameter])
            factors = Factors(file, lora.strength, parts)
            planned[parameter] = (*planned.get(parameter, ()), factors)
        _list_unknown(file, unknown)
    return LoraMerge(planned)


def _list_unknown(file: TensorSource, unknown: Sequence[str]) -> None:
    """Log what is left out: in short as a warning, and in full where that is longer."""
    if unknown:
        logger.warning(
            "lora %s: %d of %d tensors belong to no layer of this model and are left out: %s",
            file.name,
            len(unknown),
            len(file.infos),
            some(unknown, _NAMES_SHOWN),
        )
    if len(unknown) > _NAMES_SHOWN:
        logger.info("lora %s: all that is left out: %s", file.name, some(unknown, _NAMES_LOGGED))


def _match(
    file: TensorSource, names: LayerNames, shapes: Shapes
) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Return tensors by parameter and part, and those that are not known."""
    found: dict[str, dict[str, str]] = {}
    unknown = []
    for key in file.infos:
        layer_and_part = names.find(key)
        parameter = None if layer_and_part is None else _parameter(*layer_and_part)
        if layer_and_part is None or parameter not in shapes:
            unknown.append(key)
            continue
        part = layer_and_part[1]
        parts = found.setdefault(str(parameter), {})
        part = "diff" if part.startswith("diff") else part
        if part in parts:
            raise WeightsError(
                f"lora {file.label}: {shown(parts[part])} and {shown(key)} are about the "
                "same weights; remove one of them"
            )
        parts[part] = key
    for parameter in [name for name, parts in found.items() if set(parts) == {"alpha"}]:
        unknown.append(found.pop(parameter)["alpha"])
    return found, unknown


def _parameter(layer: str, part: str) -> str:
    leaf = {"diff_b": "bias", "diff_m": "modulation"}.get(part, "weight")
    return f"{layer}.{leaf}"


def _check_any(file: TensorSource, found: Mapping[str, object], unknown: list[str]) -> None:
    scaled = [key for key in unknown if key.endswith((".dora_scale", ".magnitude_vector"))]
    if scaled:
        raise WeightsError(
            f"lora {file.label}: a DoRA ({some(scaled, _NAMES_SHOWN)}), whose scales cannot be "
            "added to weights; take a plain LoRA"
        )
    if not found:
        raise WeightsError(
            f"lora {file.label}: none of its {len(file.infos)} tensors "
            f"({some(unknown, _NAMES_SHOWN)}) belongs to this transformer; take a LoRA for Wan 2.1 "
            "14B with keys of kohya, diffusers or ComfyUI"
        )


def _check_stored(file: TensorSource, parts: Mapping[str, str]) -> None:
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


def _check_parts(
    file: TensorSource, parameter: str, parts: Mapping[str, str], shape: tuple[int, ...]
) -> None:
    sizes = {part: file.infos[name].shape for part, name in parts.items()}
    if "mid" in parts:
        raise WeightsError(
            f"lora {file.label}: {shown(parts['mid'])} is the middle factor of a LoCon, which is "
            "not known here; take a plain LoRA"
        )
    fits = "diff" not in parts or without_ones(sizes["diff"]) == without_ones(shape)
    if set(parts) - {"alpha"} == {"diff"}:
        pass
    elif "up" in parts and "down" in parts:
        up, down = sizes["up"], sizes["down"]
        if 0 in (*up, *down):
            raise WeightsError(
                f"lora {file.label}: {shown(parts['up'])} {up} and {shown(parts['down'])} {down} "
                "hold nothing, need a rank of at least 1; download it again"
            )
        are_matrices = len(up) >= 2 and len(down) >= 2
        # The rank is the width of one factor and the height of the other.
        fits = fits and are_matrices and math.prod(up[1:]) == down[0]
        fits = fits and (up[0], math.prod(down[1:])) == (*shape[:1], math.prod(shape[1:]))
    else:
        part = "up" if "up" in parts else "down"
        raise WeightsError(
            f"lora {file.label}: {shown(parts[part])} has no counterpart; the file is incomplete, "
            "download it again"
        )
    if not fits:
        given = ", ".join(f"{shown(parts[part])} {size}" for part, size in sizes.items() if size)
        raise WeightsError(
            f"lora {file.label}: {given}, but {parameter} of this model is {shape}; the file "
            "belongs to a model of another size"
        )
