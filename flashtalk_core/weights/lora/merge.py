"""LoRA files, merged into the transformer's weights while these are read."""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ...errors import WeightsError, prefixed, require
from ...excerpt import excerpt
from ...files.paths import check_file
from ...log import printable_log
from ..formats.file_border import file_identity
from ..formats.scaled_fp8 import FP8_MARKER, dequantise, is_sidecar, scale_name
from ..formats.shown import shown, some
from ..formats.source import ReadTensor, TensorSource
from ..formats.tensor_file import open_tensor_file
from .checks import NAMES_SHOWN, check_any, check_parts, check_stored, is_of_other_input
from .forms import form_of
from .names import LayerNames

logger = printable_log(logging.getLogger(__name__))

_MAX_STRENGTH = 10.0
_NAMES_LOGGED = 500
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
    """What one file does to one parameter: adds factors or a difference, or sets it."""

    file: TensorSource
    strength: float
    names: Mapping[str, str]
    """Tensors of the file: those of a :class:`Form` and perhaps ``alpha``, ``diff`` or ``set``."""

    def __repr__(self) -> str:
        return f"Factors({', '.join(self.names)} of {self.file!r} x {self.strength:g})"

    def added_to(self, weight: Tensor) -> Tensor:
        """Return ``weight``, float32 of any shape, with this added to it."""
        with self.file.reading() as read:
            found = {
                part: self._numbers(read, name).to(weight.device)
                for part, name in self.names.items()
            }
        if "set" in found:
            # New values have no strength, as in ComfyUI: half of them would be those of no model.
            weight = found["set"].float().reshape(weight.shape)
        if "diff" in found:
            weight = weight + self.strength * found["diff"].float().reshape(weight.shape)
        form = form_of(found)
        if form is None:
            return weight
        matrix, rank = form.matrix(found)
        scale = self.strength
        if "alpha" in found and rank is not None:
            scale *= self._alpha(found["alpha"]) / rank
        return weight + scale * matrix.reshape(weight.shape)

    def _numbers(self, read: ReadTensor, name: str) -> Tensor:
        """Return a tensor; one of FP8 with a scale beside it is multiplied by that."""
        scale = scale_name(name, self.file.infos)
        stored = read(name)
        return stored if scale is None else dequantise(stored, read(scale), torch.float32)

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
        loras: Files, added in this order; one of strength 0 is checked and changes nothing.
        shapes: Of the transformer's parameters, by name.

    Raises:
        WeightsError: If a file is damaged, of another form or model, or nothing in it matches.
    """
    names = LayerNames(shapes)
    planned: dict[str, tuple[Factors, ...]] = {}
    for lora in loras:
        with prefixed("lora"):
            file = open_tensor_file(lora.path)
        found, unknown = _match(file, names, shapes)
        check_any(file, found, unknown)
        for parameter, parts in found.items():
            check_stored(file, parts)
            check_parts(file, parameter, parts, shapes[parameter])
            if lora.strength:
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
            some(unknown, NAMES_SHOWN),
        )
    if len(unknown) > NAMES_SHOWN:
        logger.info("lora %s: all that is left out: %s", file.name, some(unknown, _NAMES_LOGGED))


def _match(
    file: TensorSource, names: LayerNames, shapes: Shapes
) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Return tensors by parameter and part, and those that are left out."""
    found: dict[str, dict[str, str]] = {}
    unknown = []
    for key in file.infos:
        parameter_and_part = names.find(key)
        if parameter_and_part is None:
            unknown.append(key)
            continue
        parameter, part = parameter_and_part
        parts = found.setdefault(parameter, {})
        if part in parts:
            raise WeightsError(
                f"lora {file.label}: {shown(parts[part])} and {shown(key)} are about the "
                "same weights; remove one of them"
            )
        parts[part] = key
    for parameter in [name for name, parts in found.items() if set(parts) == {"alpha"}]:
        unknown.append(found.pop(parameter)["alpha"])
    others = [n for n, parts in found.items() if is_of_other_input(file, n, parts, shapes[n])]
    for parameter in others:
        unknown += found.pop(parameter).values()
    used = {name for parts in found.values() for name in parts.values()}
    return found, [key for key in unknown if not _goes_with(key, used)]


def _goes_with(key: str, used: Collection[str]) -> bool:
    """Whether a tensor is a scale or the like of one in ``used``, or the mark of such a file."""
    layer, _, leaf = key.rpartition(".")
    return leaf == FP8_MARKER or (is_sidecar(key) and f"{layer}.weight" in used)
