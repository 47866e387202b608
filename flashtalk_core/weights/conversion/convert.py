"""Conversion of a transformer: written aside, read back, and put into place."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ...errors import OutputError
from ...excerpt import format_size, reason, shown_path
from ...models.transformer.model import AvatarDiT
from ..formats.source import ReadTensor
from ..mapping.key_maps import DIT_KEYS
from ..plan import LoadPlan, plan_component
from ..save import replacing
from ..stored_tensors import TensorMapping
from .targets import AUDIO, SUFFIXES, Format, TargetTensor, substitutes, target_tensor
from .writing import Record, WrittenFile, write_file


@dataclass(frozen=True)
class WrittenPart:
    """One file of a conversion."""

    path: Path
    num_bytes: int
    num_tensors: int
    """Parameters in it."""
    errors: dict[str, tuple[int, float, float]]
    """By format of rounded matrices: their number, and the mean and largest share that was lost."""
    notes: tuple[str, ...] = ()
    """Why matrices are of another format than was asked for."""


@dataclass(frozen=True)
class Conversion:
    """What is to be written, and where."""

    form: Format
    output: Path
    audio_output: Path | None = None
    """File of the audio layers, in bfloat16; ``None`` leaves them with the others."""

    def parts(self, targets: Sequence[TargetTensor]) -> list[tuple[Path, str, list[TargetTensor]]]:
        """Return path, suffix and tensors of each file."""
        suffix = SUFFIXES[self.form]
        if self.audio_output is None:
            return [(self.output, suffix, list(targets))]
        audio = [each for each in targets if AUDIO.fullmatch(each.name)]
        others = [each for each in targets if not AUDIO.fullmatch(each.name)]
        return [(self.output, suffix, others), (self.audio_output, SUFFIXES["bf16"], audio)]


def convert(
    plan: LoadPlan[AvatarDiT],
    conversion: Conversion,
    device: torch.device,
    on_tensor: Callable[[str, int, int], object] = lambda *_: None,
) -> list[WrittenPart]:
    """Write a transformer in another format, with LoRAs merged into it if the plan has any.

    Memory holds one tensor at a time. What was written is read back and compared, and has to be a
    whole transformer, before any file takes its place.

    Args:
        plan: Of the transformer; its files may be in any format.
        conversion: What is written.
        device: Where numbers are rounded.
        on_tensor: Gets what is done ("writing" or "checking"), the number of the tensor, from 1,
            and of all tensors; may raise to stop.

    Returns:
        The files.

    Raises:
        WeightsError: If rounding loses more than it should, or the disk gives back something else.
        OutputError: If a file cannot be written.
    """
    with ExitStack() as stack:
        found = _Tensors(plan, device, stack)
        parts = conversion.parts(found.targets(conversion))
        _check_room(parts)
        total = len(found.mappings)
        written: list[tuple[WrittenFile, Record, list[TargetTensor]]] = []
        count = 0

        def read(target: TargetTensor) -> Tensor:
            nonlocal count
            count += 1
            on_tensor("writing", count, total)
            return found.read(target)

        for path, suffix, targets in parts:
            aside = stack.enter_context(replacing(path))
            record = write_file(aside, suffix, targets, read)
            written.append((WrittenFile.open(aside, str(path), suffix), record, targets))
        plan_component(plan.build, [file for file, _, _ in written], DIT_KEYS)
        total = sum(len(record.checksums) for _, record, _ in written)
        names = (name for file, record, _ in written for name in file.compare(record))
        for number, _name in enumerate(names, 1):
            on_tensor("checking", number, total)
        return [
            _describe(path, file, record, targets, _form_of(path, conversion))
            for (path, _, _), (file, record, targets) in zip(parts, written, strict=True)
        ]


def _check_room(parts: Sequence[tuple[Path, str, list[TargetTensor]]]) -> None:
    """Refuse what finds no room beside what is there; parts may lie on different disks."""
    needed: dict[int, int] = {}
    for path, _suffix, targets in parts:
        folder = path.absolute().parent
        try:
            disk, free = folder.stat().st_dev, shutil.disk_usage(folder).free
        except OSError as error:
            raise OutputError(
                f"{shown_path(path)}: no place for a file ({reason(error)}); make its folder first"
            ) from error
        needed[disk] = needed.get(disk, 0) + sum(each.num_bytes for each in targets)
        if needed[disk] > free:
            raise OutputError(
                f"{shown_path(path)}: needs {format_size(needed[disk])}, the disk has "
                f"{format_size(free)} free; make room, or write to another"
            )


class _Tensors:
    """Tensors of a plan by the parameter that they become."""

    def __init__(self, plan: LoadPlan[AvatarDiT], device: torch.device, stack: ExitStack) -> None:
        self._plan, self._device = plan, device
        self.mappings: dict[str, tuple[ReadTensor, TensorMapping]] = {}
        for source, mappings in plan.sources:
            opened = stack.enter_context(source.reading())
            self.mappings |= {each.targets[0].name: (opened, each) for each in mappings}

    def targets(self, conversion: Conversion) -> list[TargetTensor]:
        with torch.device("meta"):
            parameters = self._plan.build().named_parameters()
        shapes = {name: tuple(value.shape) for name, value in parameters}
        found = []
        for name, shape in shapes.items():
            info = self.mappings[name][1].info
            stored = info.dtype if info.form is None else None
            is_apart = conversion.audio_output is not None and AUDIO.fullmatch(name)
            form: Format = "bf16" if is_apart else conversion.form
            found.append(target_tensor(name, shape, stored, form))
        return found

    def read(self, target: TargetTensor) -> Tensor:
        read, mapping = self.mappings[target.name]
        value = self._plan.value_of(mapping, read, self._device, torch.float32)
        return value.reshape(target.shape)


def _form_of(path: Path, conversion: Conversion) -> Format:
    """Return the format that was asked for a file; audio layers in their own are not rounded."""
    return "bf16" if path == conversion.audio_output else conversion.form


def _describe(
    path: Path, file: WrittenFile, record: Record, targets: Sequence[TargetTensor], form: Format
) -> WrittenPart:
    by_kind: dict[str, list[float]] = {}
    for target in targets:
        if target.name in record.errors:
            by_kind.setdefault(target.kind, []).append(record.errors[target.name])
    errors = {kind: (len(v), sum(v) / len(v), max(v)) for kind, v in by_kind.items()}
    notes = substitutes(targets, form)
    return WrittenPart(path, file.path.stat().st_size, len(targets), errors, notes)
