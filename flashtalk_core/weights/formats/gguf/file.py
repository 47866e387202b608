"""GGUF files, whose header is checked as a whole before any tensor is read."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from math import prod
from pathlib import Path

import torch
from torch import Tensor

from ....errors import WeightsError
from ....excerpt import excerpt
from ..contents import describe_content
from ..file_border import file_border
from ..scaled_fp8 import TOKENIZER_TENSOR
from ..source import ReadTensor, StoredForm, TensorInfo
from .fields import MAGIC, Header, TensorField, read_fields
from .types import TYPES, UNREAD, TensorType
from .vocabulary import num_tokens, sentencepiece_model

_SETTLED_NS = 2_000_000_000
"""Age from which a file's time of change tells its contents apart: some disks count in seconds."""
_KEPT_HEADERS = 4
"""A model's transformer, audio layers and text encoder, and one more. That of umT5 with its
vocabulary takes half a second to read, and 30 MB."""


def check_gguf(path: Path) -> dict[str, TensorInfo]:
    """Read names, shapes and types, and compare the file's length with what they need.

    A vocabulary in the header is one more tensor, that of the repackaged files.

    Raises:
        WeightsError: If the file is cut short, no GGUF file, or has tensors of other types.
    """
    header = _read_header(path)
    infos = {name: _info(tensor) for name, tensor in header.tensors.items()}
    # As many as tokens: its bytes are made when it is read.
    if count := num_tokens(header.values):
        infos[TOKENIZER_TENSOR] = TensorInfo((count,), None)
    return infos


@contextmanager
def reading_gguf(path: Path) -> Iterator[ReadTensor]:
    """Open the file for reading tensors one by one.

    Raises:
        WeightsError: As for :func:`check_gguf`.
    """
    header = _read_header(path)
    with file_border(path):
        file = path.open("rb", buffering=0)
    with file:

        def read(name: str) -> Tensor:
            if name == TOKENIZER_TENSOR and name not in header.tensors:
                model = bytearray(sentencepiece_model(header.values))
                return torch.frombuffer(model, dtype=torch.uint8)
            tensor = header.tensors[name]
            kind = TYPES[tensor.kind]
            num_bytes = _num_bytes(kind, tensor.shape)
            content = bytearray(num_bytes)
            file.seek(header.data_start + tensor.offset)
            view, done = memoryview(content), 0
            while done < num_bytes:
                count = file.readinto(view[done:])
                if not count:
                    raise ValueError("it became shorter")
                done += count
            return _arranged(content, kind, tensor.shape)

        yield read


def _read_header(path: Path) -> Header:
    """Return the header, that of an earlier look unless the file changed since or just now."""
    with file_border(path):
        status = path.stat()
    stamp = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
    is_settled = time.time_ns() - status.st_mtime_ns > _SETTLED_NS
    return _kept_header(path, stamp) if is_settled else _parse_header(path)


@lru_cache(maxsize=_KEPT_HEADERS)
def _kept_header(path: Path, _stamp: tuple[int, ...]) -> Header:
    return _parse_header(path)


def _parse_header(path: Path) -> Header:
    with file_border(path), path.open("rb") as file:
        size = path.stat().st_size
        try:
            header = read_fields(file)
        except ValueError as error:
            reason = describe_content(path) if not _begins(path) else ""
            raise WeightsError(
                f"{path}: {size} bytes that are no GGUF file ({reason or error}); download it again"
            ) from error
    _check_tensors(path, header)
    end = header.data_start + max(map(_end, header.tensors.values()), default=0)
    if size < end:
        raise WeightsError(
            f"{path}: cut short, {size} of {end} bytes; resume or repeat its download"
        )
    return header


def _begins(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def _check_tensors(path: Path, header: Header) -> None:
    for name, tensor in header.tensors.items():
        kind = TYPES.get(tensor.kind)
        if kind is None:
            found = UNREAD.get(tensor.kind, f"number {tensor.kind}")
            known = ", ".join(each.name for each in TYPES.values())
            raise WeightsError(
                f"{path}: tensor {excerpt(name)} is of type {found}, which is not read; take a "
                f"version of this file in one of {known}"
            )
        if kind.packing is not None and (
            len(tensor.shape) == 0 or prod(tensor.shape) % kind.num_elements
        ):
            raise WeightsError(
                f"{path}: tensor {excerpt(name)} of shape {excerpt(tensor.shape)} is no whole "
                f"number of blocks of {kind.name}; download it again"
            )
    start = 0
    for tensor in sorted(header.tensors.values(), key=lambda each: each.offset):
        if tensor.offset < start:
            raise WeightsError(f"{path}: its tensors overlap; download it again")
        start = _end(tensor)


def _end(tensor: TensorField) -> int:
    return tensor.offset + _num_bytes(TYPES[tensor.kind], tensor.shape)


def _num_bytes(kind: TensorType, shape: tuple[int, ...]) -> int:
    return prod(shape) // kind.num_elements * kind.num_bytes


def _info(tensor: TensorField) -> TensorInfo:
    kind = TYPES[tensor.kind]
    if kind.packing is None:
        return TensorInfo(tensor.shape, kind.dtype)
    is_by_row = len(tensor.shape) == 2 and tensor.shape[1] % kind.num_elements == 0
    form = StoredForm(kind.packing, is_by_row=is_by_row)
    return TensorInfo(tensor.shape, torch.float32, form)


def _arranged(content: bytearray, kind: TensorType, shape: tuple[int, ...]) -> Tensor:
    """Return plain numbers in their shape, blocks as rows of bytes."""
    if not content:
        return torch.empty(shape, dtype=kind.dtype or torch.float32)
    if kind.dtype is not None:
        return torch.frombuffer(content, dtype=kind.dtype).reshape(shape)
    # A row is a whole number of blocks but where a converter changed the shape.
    columns = shape[-1] if shape[-1] % kind.num_elements == 0 else kind.num_elements
    rows = prod(shape) // columns
    return torch.frombuffer(content, dtype=torch.uint8).reshape(rows, -1)
