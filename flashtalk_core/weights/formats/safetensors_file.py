"""Safetensors files, whose header is checked as a whole before any tensor is read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, TypeGuard

import torch

from ...errors import WeightsError
from ...excerpt import excerpt
from ...json_text import parse_json
from .comfy_quant import CONFIG_SUFFIX, HEADER_KEY, layer_configs, with_forms
from .contents import describe_content
from .file_border import file_border
from .source import ReadTensor, TensorInfo

_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
}
_OTHERS = {"U8": torch.uint8, "I8": torch.int8, "F8_E8M0": torch.float8_e8m0fnu}
"""Types that say nothing without the format of a layer."""
_MAX_HEADER_BYTES = 16_000_000
"""Forty times the header of the largest published file."""
_MAX_LENGTH, _MAX_AXES = 2**48, 16
_MAX_CONFIG_BYTES = 10_000
_LENGTH_BYTES = 8


def check_safetensors(path: Path) -> dict[str, TensorInfo]:
    """Read the header and what describes quantised layers, and let the library check the rest.

    Raises:
        WeightsError: If the file is cut short, no safetensors file, or has layers of a format that
            is not known.
    """
    header = _read_header(path)
    with reading_safetensors(path) as read:
        try:
            with file_border(path, passing=(ValueError,)):
                text, stored = _described(header, read)
            return with_forms(header.infos, header.dtypes, layer_configs(text, stored))
        except ValueError as error:
            raise WeightsError(
                f"{path}: {error}; take the bf16, fp16, fp8 or GGUF version of this file"
            ) from error


def _described(header: _Header, read: ReadTensor) -> tuple[str | None, dict[str, bytes]]:
    """Return the texts that describe quantised layers; see :func:`layer_configs`."""
    names = [name for name in header.infos if name.endswith(CONFIG_SUFFIX)]
    for name in names:
        if header.dtypes[name] != torch.uint8 or prod(header.infos[name].shape) > _MAX_CONFIG_BYTES:
            raise ValueError(f"{excerpt(name)} is no text that describes a layer")
    stored = {name.removesuffix(CONFIG_SUFFIX): read(name).numpy().tobytes() for name in names}
    return header.texts.get(HEADER_KEY), stored


@contextmanager
def reading_safetensors(path: Path) -> Iterator[ReadTensor]:
    """Map the file for reading tensors one by one.

    Raises:
        WeightsError: If the library refuses it.
    """
    from safetensors import safe_open

    with file_border(path):
        opened = safe_open(path, framework="pt")
    with opened as file:
        yield file.get_tensor


@dataclass(frozen=True)
class _Header:
    """Header of a file."""

    infos: dict[str, TensorInfo]
    dtypes: dict[str, torch.dtype | None]
    """Types, those of whole numbers included."""
    texts: dict[str, str]


def read_header(path: Path) -> dict[str, TensorInfo]:
    """Read names, shapes and types as stored; see :func:`check_safetensors`."""
    return _read_header(path).infos


def _read_header(path: Path) -> _Header:
    """Read names, shapes and types, and compare the file's length with what they need.

    Raises:
        WeightsError: If the file is cut short, or no safetensors file.
    """
    with file_border(path), path.open("rb") as file:
        length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
        text = file.read(length) if length <= _MAX_HEADER_BYTES else b""
        size = path.stat().st_size
    try:
        if not 2 <= length <= _MAX_HEADER_BYTES:
            raise ValueError(f"header of {length} bytes")
        if len(text) < length:
            raise _cut_short(path, size, _LENGTH_BYTES + length)
        header = parse_json(text)
        if not isinstance(header, dict):
            raise ValueError("its header is no object")
        texts = header.pop("__metadata__", None)
        entries = {name: _Entry.read(name, entry) for name, entry in header.items()}
        end = _end(entries)
    except ValueError as error:
        reason = describe_content(path) or error
        raise WeightsError(
            f"{path}: {size} bytes that are no safetensors file ({reason}); download it again"
        ) from error
    if size < _LENGTH_BYTES + length + end:
        raise _cut_short(path, size, _LENGTH_BYTES + length + end)
    return _Header(
        infos={name: entry.info for name, entry in entries.items()},
        dtypes={name: entry.dtype for name, entry in entries.items()},
        texts=_texts(texts),
    )


def _texts(values: Any) -> dict[str, str]:
    items = values.items() if isinstance(values, dict) else ()
    return {name: value for name, value in items if isinstance(value, str)}


@dataclass(frozen=True)
class _Entry:
    """Entry of one tensor in a header."""

    info: TensorInfo
    dtype: torch.dtype | None
    start: int
    end: int

    @classmethod
    def read(cls, name: str, entry: Any) -> _Entry:
        """Check an entry; a ``ValueError`` names what is wrong with it."""
        shown = excerpt(name)
        if not isinstance(entry, dict) or not isinstance(entry.get("dtype"), str):
            raise ValueError(f"tensor {shown} has no type")
        shape, offsets = entry.get("shape"), entry.get("data_offsets")
        if not _are_lengths(shape) or prod(shape) > _MAX_LENGTH:
            raise ValueError(f"tensor {shown} has shape {excerpt(shape)}")
        if not _are_lengths(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
            raise ValueError(f"tensor {shown} lies at {excerpt(offsets)}")
        dtype = _DTYPES.get(entry["dtype"])
        start, end = offsets
        if dtype is not None and prod(shape) * dtype.itemsize != end - start:
            raise ValueError(f"tensor {shown} of shape {excerpt(shape)} has {end - start} bytes")
        other = dtype or _OTHERS.get(entry["dtype"])
        return cls(TensorInfo(tuple(shape), dtype), other, start, end)


def _are_lengths(value: Any) -> TypeGuard[list[int]]:
    return (
        isinstance(value, list)
        and len(value) <= _MAX_AXES
        and all(type(each) is int and 0 <= each <= _MAX_LENGTH for each in value)
    )


def _end(entries: dict[str, _Entry]) -> int:
    """Return where the last tensor ends; a ``ValueError`` reports two that overlap."""
    end = 0
    for start, stop, name in _places(entries):
        if start < end:
            raise ValueError(f"tensor {excerpt(name)} lies in the place of another one")
        end = stop
    return end


def _places(entries: dict[str, _Entry]) -> Iterator[tuple[int, int, str]]:
    yield from sorted((entry.start, entry.end, name) for name, entry in entries.items())


def _cut_short(path: Path, size: int, expected: int) -> WeightsError:
    return WeightsError(
        f"{path}: cut short, {size} of {expected} bytes; resume or repeat its download"
    )
