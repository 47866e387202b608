"""One file of converted tensors, written and read back."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from ...errors import WeightsError
from ...quantization.fp8 import FLOAT8, LARGEST
from ...quantization.packed import blocks, scaled, superblocks
from ...quantization.packed.packing import Packing
from ...quantization.packed.quantise import quantise_q4_k, quantise_q8_0
from ..formats import safetensors_writer
from ..formats.comfy_quant import CONFIG_SUFFIX
from ..formats.gguf import writer as gguf_writer
from ..formats.gguf.file import check_gguf, reading_gguf
from ..formats.safetensors_file import check_safetensors, reading_safetensors
from ..formats.source import ReadTensor, TensorInfo
from .targets import LIMITS, TargetTensor

_CONFIG = json.dumps({"format": "float8_e4m3fn", "full_precision_matrix_mult": True})
"""Inputs were not measured, so that ComfyUI, too, is to multiply in full precision."""
_ROUNDERS: dict[str, tuple[Callable[[Tensor], Tensor], Packing]] = {
    "Q8_0": (quantise_q8_0, blocks.Q8_0),
    "Q4_K": (quantise_q4_k, superblocks.Q4_K),
}

Read = Callable[[TargetTensor], Tensor]
"""Returns the numbers of a tensor, float32, where they are to be rounded."""


@dataclass
class Record:
    """What was written."""

    checksums: dict[str, int] = field(default_factory=dict)
    """CRC-32 of the bytes of each stored tensor."""
    errors: dict[str, float] = field(default_factory=dict)
    """Share of each rounded matrix that was lost."""

    def add(self, name: str, tensor: Tensor) -> Tensor:
        """Take the checksum of a tensor that is about to be written; return it, on the CPU."""
        tensor = tensor.contiguous().cpu()
        self.checksums[name] = _checksum(tensor)
        return tensor

    def add_error(self, target: TargetTensor, found: Tensor, expected: Tensor) -> None:
        """Take the error of a rounded matrix.

        Raises:
            WeightsError: If it is larger than rounding explains: numbers that are not finite, or
                rows of which a few are far larger than the others.
        """
        size = expected.norm()
        error = float((found - expected).norm() / size) if size > 0 else float(found.norm())
        self.errors[target.name] = error
        if not error <= LIMITS[target.kind]:
            raise WeightsError(
                f"tensor {target.name} loses {100 * error:.1f} % of itself in {target.kind}, at "
                f"most {100 * LIMITS[target.kind]:g} %; use another format"
            )


def write_file(path: Path, suffix: str, targets: Sequence[TargetTensor], read: Read) -> Record:
    """Write tensors one by one.

    Args:
        path: File; replaced.
        suffix: Ending of the name that it will have: ``.gguf`` or ``.safetensors``.
        targets: What is written.
        read: Gives the numbers.
    """
    record = Record()
    with path.open("wb") as file:
        if suffix == ".gguf":
            _write_gguf(file, targets, read, record)
        else:
            _write_safetensors(file, targets, read, record)
    return record


def _write_gguf(
    file: BinaryIO, targets: Sequence[TargetTensor], read: Read, record: Record
) -> None:
    by_name = {target.name: target for target in targets}

    def stored(entry: gguf_writer.Entry) -> Tensor:
        target = by_name[entry.name]
        numbers = read(target)
        if target.dtype is not None:
            return record.add(target.name, numbers.to(target.dtype))
        rounded, packing = _ROUNDERS[target.kind]
        packed = rounded(numbers)
        record.add_error(target, packing.unpacked((packed,), torch.float32), numbers)
        return record.add(target.name, packed)

    entries = [gguf_writer.Entry(each.name, each.shape, each.kind) for each in targets]
    values: dict[str, gguf_writer.Value] = {
        "general.architecture": "wan",
        "general.quantization_version": 2,
    }
    gguf_writer.write_gguf(file, values, entries, stored)


def _write_safetensors(
    file: BinaryIO, targets: Sequence[TargetTensor], read: Read, record: Record
) -> None:
    config = torch.tensor(list(_CONFIG.encode()), dtype=torch.uint8)
    entries, makers = [], {}
    scales: dict[str, Tensor] = {}

    def plain(target: TargetTensor) -> Tensor:
        assert target.dtype is not None
        return read(target).to(target.dtype)

    def rounded(target: TargetTensor) -> Tensor:
        numbers = read(target)
        scale = (numbers.abs().amax() / LARGEST).clamp(min=1e-12)
        packed = (numbers / scale).clamp(-LARGEST, LARGEST).to(FLOAT8)
        found = scaled.FP8_E4M3.unpacked((packed, scale.view(1, 1)), torch.float32)
        record.add_error(target, found, numbers)
        scales[target.name] = scale
        return packed

    for target in targets:
        layer = target.name.removesuffix(".weight")
        more: list[tuple[str, tuple[int, ...], torch.dtype, Callable[[TargetTensor], Tensor]]]
        if target.dtype is not None:
            more = [(target.name, target.shape, target.dtype, plain)]
        else:
            more = [
                (target.name, target.shape, FLOAT8, rounded),
                (f"{layer}.weight_scale", (), torch.float32, lambda each: scales[each.name]),
                (f"{layer}{CONFIG_SUFFIX}", (len(config),), torch.uint8, lambda _: config),
            ]
        for name, shape, dtype, make in more:
            entries.append(safetensors_writer.Entry(name, shape, dtype))
            makers[name] = (make, target)

    def stored(entry: safetensors_writer.Entry) -> Tensor:
        make, target = makers[entry.name]
        return record.add(entry.name, make(target))

    safetensors_writer.write_safetensors(file, {"format": "pt"}, entries, stored)


@dataclass(frozen=True)
class WrittenFile:
    """A file that was written, under any name, as a source of tensors."""

    path: Path
    label: str
    """Name that it will have."""
    infos: dict[str, TensorInfo]
    is_gguf: bool

    @classmethod
    def open(cls, path: Path, label: str, suffix: str) -> WrittenFile:
        """Read its header; see :func:`.open_tensor_file`."""
        is_gguf = suffix == ".gguf"
        return cls(path, label, (check_gguf if is_gguf else check_safetensors)(path), is_gguf)

    @property
    def name(self) -> str:
        """That it will have."""
        return self.label

    @property
    def identity(self) -> str:
        """That of no other."""
        return str(self.path)

    def reading(self) -> AbstractContextManager[ReadTensor]:
        """Open for reading tensors one by one."""
        return (reading_gguf if self.is_gguf else reading_safetensors)(self.path)

    def compare(self, record: Record) -> Iterator[str]:
        """Read every tensor, and yield its name.

        Raises:
            WeightsError: If one is not there, or not the one that was written.
        """
        with self.reading() as read:
            for name, checksum in record.checksums.items():
                if name not in self.infos or _checksum(read(name)) != checksum:
                    raise WeightsError(
                        f"{self.label}: tensor {name} is not what was written; check the disk, and "
                        "write it again"
                    )
                yield name


def _checksum(tensor: Tensor) -> int:
    return zlib.crc32(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
