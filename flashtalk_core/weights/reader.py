"""Tensor files: what they hold, known from their headers, and one tensor at a time."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import WeightsError
from ..excerpt import excerpt

ReadTensor = Callable[[str], Tensor]
"""Returns the tensor of a name on the CPU; its memory may be the file's."""

_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
}
_MAX_HEADER_BYTES = 100_000_000
_MARK_BYTES = 200
_CONTENTS = {
    b"version https://git-lfs": "a Git LFS pointer in place of the file: run `git lfs pull`",
    b"<!doctype": "a web page in place of the file",
    b"<html": "a web page in place of the file",
    b"gguf": "a GGUF file under another name",
}
"""What downloads leave in place of weights, by how it begins, in lower case."""


@dataclass(frozen=True)
class TensorInfo:
    """Shape and type of a stored tensor."""

    shape: tuple[int, ...]
    dtype: torch.dtype | None
    """``None`` for whole numbers and types that are not floating point."""


@dataclass(frozen=True)
class TensorFile:
    """A file of named tensors whose header has been read and found whole."""

    path: Path
    infos: Mapping[str, TensorInfo]

    def __repr__(self) -> str:
        return f"TensorFile({excerpt(self.path.name)}, {len(self.infos)} tensors)"

    @contextmanager
    def reading(self) -> Iterator[ReadTensor]:
        """Open for reading tensors one by one; the file is let go at the end."""
        if _is_safetensors(self.path):
            with _open_safetensors(self.path) as file:
                yield file.get_tensor
        else:
            yield _load_pickle(self.path).__getitem__


def open_tensor_file(path: Path) -> TensorFile:
    """Read the header of a ``.safetensors`` file, or the table of a pickled one.

    Raises:
        WeightsError: If the file is cut short, holds something else, or is a pickle with code.
    """
    if _is_safetensors(path):
        return TensorFile(path, _read_header(path))
    table = _load_pickle(path)
    return TensorFile(path, {k: TensorInfo(tuple(t.shape), _float(t)) for k, t in table.items()})


def check_header(path: Path) -> Mapping[str, TensorInfo] | None:
    """Look at how a file begins and at its size, in little time however large it is.

    Returns:
        Its tensors by name; ``None`` for a pickled file, whose table is not read here.

    Raises:
        WeightsError: If that shows already that it is damaged or something else.
    """
    if _is_safetensors(path):
        return _read_header(path)
    with path.open("rb") as file:
        is_zip = file.read(2) == b"PK"
    # The end of a zip file holds its table, so that one that is cut short is none.
    if path.stat().st_size == 0 or describe_content(path) or is_zip > zipfile.is_zipfile(path):
        raise _damaged(path)
    return None


def _is_safetensors(path: Path) -> bool:
    return path.suffix.lower() == ".safetensors"


def _open_safetensors(path: Path) -> Any:
    from safetensors import SafetensorError, safe_open

    try:
        return safe_open(path, framework="pt")
    except SafetensorError as error:
        raise WeightsError(
            f"{path}: no safetensors file that can be read ({error}); download it again"
        ) from error


def _float(tensor: Tensor) -> torch.dtype | None:
    return tensor.dtype if tensor.is_floating_point() else None


def _read_header(path: Path) -> dict[str, TensorInfo]:
    """Read names, shapes and types, and compare the file's length with what they need."""
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= _MAX_HEADER_BYTES:
                raise ValueError(f"header of {length} bytes")
            if size < 8 + length:
                raise _cut_short(path, size, 8 + length)
            header: dict[str, Any] = json.loads(file.read(length))
        header.pop("__metadata__", None)
        end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
        infos = {
            name: TensorInfo(tuple(entry["shape"]), _DTYPES.get(entry["dtype"]))
            for name, entry in header.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        reason = describe_content(path) or error
        raise WeightsError(
            f"{path}: {size} bytes that are no safetensors file ({reason}); download it again"
        ) from error
    if size < 8 + length + end:
        raise _cut_short(path, size, 8 + length + end)
    return infos


def _cut_short(path: Path, size: int, expected: int) -> WeightsError:
    return WeightsError(
        f"{path}: cut short, {size} of {expected} bytes; resume or repeat its download"
    )


def _load_pickle(path: Path) -> dict[str, Tensor]:
    """Map a ``.pth`` or ``.bin`` file into memory; nothing in it is executed."""
    try:
        # The older format without a zip container cannot be mapped.
        table = torch.load(
            path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path)
        )
    except pickle.UnpicklingError as error:
        if _is_damage(error):
            raise _damaged(path) from error
        raise WeightsError(
            f"{path}: holds code or objects other than tensors and is not opened; "
            "take the safetensors version of this file"
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError) as error:
        raise _damaged(path) from error
    if not isinstance(table, dict) or not all(isinstance(t, Tensor) for t in table.values()):
        raise WeightsError(f"{path}: holds no flat table of named tensors; take the published file")
    return table


def _is_damage(error: pickle.UnpicklingError) -> bool:
    message = str(error).lower()
    return any(word in message for word in ("truncated", "ran out of input", "invalid load key"))


def _damaged(path: Path) -> WeightsError:
    content = describe_content(path)
    return WeightsError(
        f"{path}: damaged or cut short at {path.stat().st_size} bytes"
        f"{f' ({content})' if content else ''}; resume or repeat its download"
    )


def describe_content(path: Path) -> str:
    """Say what lies in place of weights, as far as its first bytes tell; empty if they do not."""
    with path.open("rb") as file:
        begin = file.read(_MARK_BYTES).lstrip().lower()
    return next((what for mark, what in _CONTENTS.items() if begin.startswith(mark)), "")
