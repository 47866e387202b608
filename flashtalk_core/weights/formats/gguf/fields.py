"""The header of a GGUF file, field by field, read with a limit on all that it may ask for."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any, BinaryIO

from ....excerpt import excerpt

MAGIC = b"GGUF"
VERSIONS = (2, 3)
_SCALARS = {
    0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q",
    12: "<d",
}  # fmt: skip
"""Formats of single values, by their number."""
_TEXT, _ARRAY = 8, 9
_MAX_BYTES = 64_000_000
"""Twice the header of a text encoder, whose vocabulary is in it."""
_MAX_FIELDS, _MAX_TENSORS, _MAX_AXES = 100_000, 100_000, 8
_MAX_LENGTH = 2**48
_ALIGNMENT = 32

Value = Any
"""A number, a text, ``bytes`` of an array of them, or a tuple."""


@dataclass(frozen=True)
class TensorField:
    """Entry of one tensor."""

    shape: tuple[int, ...]
    """As PyTorch counts: GGUF stores the axes in reverse."""
    kind: int
    """Number of its type."""
    offset: int
    """Where it begins, from the start of the data."""


@dataclass(frozen=True)
class Header:
    """All of a header."""

    values: Mapping[str, Value] = field(repr=False)
    tensors: Mapping[str, TensorField] = field(repr=False)
    data_start: int
    """Where the data begin in the file."""


def read_fields(file: BinaryIO) -> Header:
    """Read a header from the start of ``file``; a ``ValueError`` says what is wrong with it."""
    reader = _Reader(file)
    if reader.take(4) != MAGIC:
        raise ValueError("it does not begin as one")
    version = reader.scalar("<I")
    if version not in VERSIONS:
        raise ValueError(f"version {version} of the format, need {' or '.join(map(str, VERSIONS))}")
    num_tensors = reader.count("tensors", _MAX_TENSORS)
    num_values = reader.count("values", _MAX_FIELDS)
    values: dict[str, Value] = {}
    for _ in range(num_values):
        name = reader.text()
        _check_new(name, values)
        values[name] = reader.value(reader.scalar("<I"))
    tensors: dict[str, TensorField] = {}
    for _ in range(num_tensors):
        name = reader.text()
        _check_new(name, tensors)
        tensors[name] = _original(reader.tensor(name), name, values)
    alignment = values.get("general.alignment", _ALIGNMENT)
    if not isinstance(alignment, int) or not 1 <= alignment <= 2**20:
        raise ValueError(f"data aligned to {excerpt(alignment)} bytes")
    return Header(values, tensors, -(-reader.position // alignment) * alignment)


def _check_new(name: str, known: Mapping[str, object]) -> None:
    if name in known:
        raise ValueError(f"{excerpt(name)} is there twice")


def _original(tensor: TensorField, name: str, values: Mapping[str, Value]) -> TensorField:
    """Return the tensor in the shape it had before its converter gave it another."""
    shape = values.get(f"comfy.gguf.orig_shape.{name}")
    if shape is None:
        return tensor
    if not isinstance(shape, tuple) or not all(type(each) is int and each >= 0 for each in shape):
        raise ValueError(f"tensor {excerpt(name)} had the shape {excerpt(shape)}")
    if len(shape) > _MAX_AXES or prod(shape) != prod(tensor.shape):
        raise ValueError(f"tensor {excerpt(name)} {tensor.shape} had the shape {excerpt(shape)}")
    return TensorField(shape, tensor.kind, tensor.offset)


class _Reader:
    """Reads values one after the other."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.position = 0

    def take(self, num_bytes: int) -> bytes:
        if self.position + num_bytes > _MAX_BYTES:
            raise ValueError(f"its header has more than {_MAX_BYTES} bytes")
        found = self._file.read(num_bytes)
        if len(found) < num_bytes:
            raise ValueError("its header is cut short")
        self.position += num_bytes
        return found

    def scalar(self, form: str) -> Any:
        (found,) = struct.unpack(form, self.take(struct.calcsize(form)))
        return found

    def count(self, what: str, limit: int) -> int:
        found = int(self.scalar("<Q"))
        if found > limit:
            raise ValueError(f"{found} {what}, at most {limit}")
        return found

    def text(self) -> str:
        return self.take(self.count("bytes of text", _MAX_BYTES)).decode("utf-8", "replace")

    def value(self, kind: int) -> Value:
        if kind in _SCALARS:
            return self.scalar(_SCALARS[kind])
        if kind == _TEXT:
            return self.text()
        if kind == _ARRAY:
            return self._array(self.scalar("<I"))
        raise ValueError(f"a value of the unknown type {kind}")

    def _array(self, kind: int) -> Value:
        count = self.count("values of a list", _MAX_BYTES)
        if kind == _TEXT:
            return tuple(self.text() for _ in range(count))
        if kind not in _SCALARS:
            raise ValueError(f"a list of the unknown type {kind}")
        form = _SCALARS[kind]
        content = self.take(count * struct.calcsize(form))
        if kind in (0, 1):
            return content
        return struct.unpack(f"<{count}{form[1:]}", content)

    def tensor(self, name: str) -> TensorField:
        num_axes = self.scalar("<I")
        if num_axes > _MAX_AXES:
            raise ValueError(f"tensor {excerpt(name)} has {num_axes} axes")
        shape = tuple(reversed([int(self.scalar("<Q")) for _ in range(num_axes)]))
        if max((*shape, prod(shape))) > _MAX_LENGTH:
            raise ValueError(f"tensor {excerpt(name)} has shape {excerpt(shape)}")
        return TensorField(shape, self.scalar("<I"), self.scalar("<Q"))
