"""Pickled tensor files, read without executing anything in them."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...errors import WeightsError
from .contents import describe_content
from .file_border import file_border, unreadable
from .source import ReadTensor, TensorInfo

_STATE = "state_dict"
"""Under which training programs save the table, next to what they need to go on."""


def check_pickle(path: Path) -> dict[str, TensorInfo]:
    """Read the table of the file, whose values stay where they are.

    Raises:
        WeightsError: If it is damaged, or holds something else than a table of tensors.
        NoMemoryError: If it needs more memory than is free.
    """
    return {name: TensorInfo.of(tensor) for name, tensor in _read_table(path).items()}


def glance_at_pickle(path: Path) -> None:
    """Check how the file begins and its size; its table is not read.

    Raises:
        WeightsError: If that shows already that it is damaged or something else.
    """
    with file_border(path), path.open("rb") as file:
        is_zip = file.read(2) == b"PK"
        is_empty = path.stat().st_size == 0
    # The table of a zip file is at its end, so one that is cut short has none.
    if is_empty or describe_content(path) or is_zip > zipfile.is_zipfile(path):
        raise unreadable(path, "0 bytes" if is_empty else "it has no end")


@contextmanager
def reading_pickle(path: Path) -> Iterator[ReadTensor]:
    """Map the file for reading tensors one by one.

    Raises:
        WeightsError: As for :func:`check_pickle`, as is the next.
        NoMemoryError: If it needs more memory than is free.
    """
    yield _read_table(path).__getitem__


def _read_table(path: Path) -> dict[str, Tensor]:
    """Map a ``.pth`` or ``.bin`` file into memory; nothing in it is executed."""
    with file_border(path):
        table = _load(path)
        if isinstance(table, dict) and isinstance(table.get(_STATE), dict):
            table = table[_STATE]
        is_table = isinstance(table, dict) and all(map(_is_plain, table.items()))
    if not is_table:
        raise WeightsError(f"{path}: holds no flat table of named tensors; take the published file")
    return dict(table)


def _load(path: Path) -> Any:
    # The older format without a zip container cannot be mapped.
    is_zip = zipfile.is_zipfile(path)
    if is_zip:
        _check_packed(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except pickle.UnpicklingError as error:
        if _is_damage(error):
            raise
        raise WeightsError(
            f"{path}: holds code or objects other than tensors and is not opened; "
            "take the safetensors version of this file"
        ) from error


def _check_packed(path: Path) -> None:
    """Refuse a container that unpacks to more than its size: PyTorch compresses nothing."""
    with zipfile.ZipFile(path) as container:
        unpacked = sum(member.file_size for member in container.infolist())
    if unpacked > path.stat().st_size:
        raise unreadable(path, f"it unpacks to {unpacked} bytes")


def _is_plain(entry: tuple[Any, Any]) -> bool:
    """Whether a name and its value are text and a tensor in memory."""
    name, tensor = entry
    return (
        isinstance(name, str)
        and isinstance(tensor, Tensor)
        and tensor.layout == torch.strided
        and tensor.device.type == "cpu"
        and not (tensor.is_quantized or tensor.is_nested)
    )


def _is_damage(error: pickle.UnpicklingError) -> bool:
    message = str(error).lower()
    return any(word in message for word in ("truncated", "ran out of input", "invalid load key"))
