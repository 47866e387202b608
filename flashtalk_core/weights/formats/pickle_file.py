"""Pickled tensor files, of which nothing is executed."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...errors import WeightsError
from .file_border import file_border, unreadable


def read_pickle(path: Path) -> dict[str, Tensor]:
    """Map a ``.pth`` or ``.bin`` file into memory; nothing in it is executed.

    Raises:
        WeightsError: If it is damaged, or holds something else than a table of tensors.
        NoMemoryError: If it asks for more memory than there is.
    """
    with file_border(path):
        table = _load(path)
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
    """Refuse a container that unpacks to more than it is: PyTorch compresses nothing."""
    with zipfile.ZipFile(path) as container:
        unpacked = sum(member.file_size for member in container.infolist())
    if unpacked > path.stat().st_size:
        raise unreadable(path, f"it unpacks to {unpacked} bytes")


def _is_plain(entry: tuple[Any, Any]) -> bool:
    """Whether a name and what it stands for are text and numbers that lie in memory."""
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
