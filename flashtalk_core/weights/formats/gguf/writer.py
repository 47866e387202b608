"""Writing of a GGUF file, one tensor at a time."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import BinaryIO

import torch
from torch import Tensor

from .fields import MAGIC
from .types import NUMBERS, TYPES

_VERSION = 3
_ALIGNMENT = 32
_MOST_AXES = 4
"""That llama.cpp reads; a tensor of more is flattened and its shape written down."""
_UINT8, _UINT32, _INT32, _FLOAT, _BOOL, _TEXT, _ARRAY = 0, 4, 5, 6, 7, 8, 9

Value = str | bool | int | bytes | Sequence[int] | Sequence[float] | Sequence[str]


@dataclass(frozen=True)
class Entry:
    """One tensor of a file."""

    name: str
    shape: tuple[int, ...]
    kind: str
    """Name of its type, such as ``Q8_0``."""

    @property
    def num_bytes(self) -> int:
        """Bytes of its numbers."""
        kind = TYPES[NUMBERS[self.kind]]
        return prod(self.shape) // kind.num_elements * kind.num_bytes

    @property
    def stored_shape(self) -> tuple[int, ...]:
        """Its shape with no more axes than every reader takes."""
        if len(self.shape) <= _MOST_AXES:
            return self.shape
        return self.shape[0], prod(self.shape[1:])


def write_gguf(
    file: BinaryIO,
    values: Mapping[str, Value],
    entries: Sequence[Entry],
    read: Callable[[Entry], Tensor],
) -> None:
    """Write a file; tensors are asked for one by one, in their order.

    Args:
        file: Opened for writing, at its start.
        values: What the header says, by name.
        entries: Tensors.
        read: Returns the bytes of a tensor, in any shape and type.
    """
    shapes = {
        f"comfy.gguf.orig_shape.{entry.name}": entry.shape
        for entry in entries
        if entry.stored_shape != entry.shape
    }
    values = {**values, **shapes}
    file.write(MAGIC + struct.pack("<IQQ", _VERSION, len(entries), len(values)))
    for name, value in values.items():
        file.write(_text(name) + _value(value))
    offset = 0
    for entry in entries:
        shape = entry.stored_shape
        axes = struct.pack(f"<I{len(shape)}Q", len(shape), *reversed(shape))
        file.write(_text(entry.name) + axes + struct.pack("<IQ", NUMBERS[entry.kind], offset))
        offset += _aligned(entry.num_bytes)
    file.write(bytes(_aligned(file.tell()) - file.tell()))
    for entry in entries:
        content = read(entry).contiguous().cpu().reshape(-1).view(torch.uint8)
        assert content.numel() == entry.num_bytes, entry
        file.write(content.numpy().data)
        file.write(bytes(_aligned(entry.num_bytes) - entry.num_bytes))


def _aligned(num_bytes: int) -> int:
    return -(-num_bytes // _ALIGNMENT) * _ALIGNMENT


def _text(text: str) -> bytes:
    content = text.encode()
    return struct.pack("<Q", len(content)) + content


def _value(value: Value) -> bytes:
    if isinstance(value, str):
        return struct.pack("<I", _TEXT) + _text(value)
    if isinstance(value, bool):
        return struct.pack("<I?", _BOOL, value)
    if isinstance(value, int):
        return struct.pack("<II", _UINT32, value)
    if isinstance(value, bytes):
        return struct.pack("<IIQ", _ARRAY, _UINT8, len(value)) + value
    return struct.pack("<I", _ARRAY) + _list(value)


def _list(values: Sequence[int] | Sequence[float] | Sequence[str]) -> bytes:
    if all(isinstance(each, str) for each in values):
        content = b"".join(_text(str(each)) for each in values)
        return struct.pack("<IQ", _TEXT, len(values)) + content
    is_whole = all(isinstance(each, int) for each in values)
    kind, letter = (_INT32, "i") if is_whole else (_FLOAT, "f")
    return struct.pack(f"<IQ{len(values)}{letter}", kind, len(values), *values)
