"""Tensor files: what they hold, known from their headers, and one tensor at a time."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...errors import WeightsError
from ...excerpt import excerpt
from .contents import describe_content
from .file_border import file_border, unreadable
from .header import TensorInfo, read_header
from .pickle_file import read_pickle

ReadTensor = Callable[[str], Tensor]
"""Returns the tensor of a name on the CPU; its memory may be the file's."""

_Stamp = tuple[int, int]
"""Size in bytes and time of change in nanoseconds."""


@dataclass(frozen=True)
class TensorFile:
    """A file of named tensors whose header has been read and found whole."""

    path: Path
    infos: Mapping[str, TensorInfo]
    stamp: _Stamp | None = field(default=None, compare=False)
    """Of the file as it was checked; ``None`` is not compared."""

    def __repr__(self) -> str:
        return f"TensorFile({excerpt(self.path.name)}, {len(self.infos)} tensors)"

    @contextmanager
    def reading(self) -> Iterator[ReadTensor]:
        """Open for reading tensors one by one; the file is let go at the end.

        Raises:
            WeightsError: If it cannot be read, or is another file than was checked.
        """
        # A mapped file that became shorter would end the whole process when it is read.
        if self.stamp is not None and _stamp(self.path) != self.stamp:
            raise WeightsError(
                f"{self.path}: changed since it was checked; wait until it is whole and try again"
            )
        if not _is_safetensors(self.path):
            yield self._bounded(read_pickle(self.path).__getitem__)
            return
        with _open_safetensors(self.path) as file:
            yield self._bounded(file.get_tensor)

    def _bounded(self, read: ReadTensor) -> ReadTensor:
        def read_one(name: str) -> Tensor:
            with file_border(self.path):
                return read(name)

        return read_one


def open_tensor_file(path: Path) -> TensorFile:
    """Read the header of a ``.safetensors`` file, or the table of a pickled one.

    Raises:
        WeightsError: If the file is cut short, holds something else, or is a pickle with code.
        NoMemoryError: If reading it takes more memory than there is.
    """
    stamp = _stamp(path)
    if _is_safetensors(path):
        infos = read_header(path)
        with _open_safetensors(path):
            pass  # the library looks at what is not looked at here
        return TensorFile(path, infos, stamp)
    table = read_pickle(path)
    return TensorFile(
        path, {k: TensorInfo(tuple(t.shape), _float(t)) for k, t in table.items()}, stamp
    )


def check_header(path: Path) -> Mapping[str, TensorInfo] | None:
    """Look at how a file begins and at its size, in little time however large it is.

    Returns:
        Its tensors by name; ``None`` for a pickled file, whose table is not read here.

    Raises:
        WeightsError: If that shows already that it is damaged or something else.
    """
    if _is_safetensors(path):
        return read_header(path)
    with file_border(path), path.open("rb") as file:
        is_zip = file.read(2) == b"PK"
        is_empty = path.stat().st_size == 0
    # The end of a zip file holds its table, so that one that is cut short is none.
    if is_empty or describe_content(path) or is_zip > zipfile.is_zipfile(path):
        raise unreadable(path, "0 bytes" if is_empty else "it has no end")
    return None


def _stamp(path: Path) -> _Stamp:
    with file_border(path):
        status = path.stat()
    return status.st_size, status.st_mtime_ns


def _is_safetensors(path: Path) -> bool:
    return path.suffix.lower() == ".safetensors"


def _open_safetensors(path: Path) -> Any:
    from safetensors import safe_open

    with file_border(path):
        return safe_open(path, framework="pt")


def _float(tensor: Tensor) -> torch.dtype | None:
    return tensor.dtype if tensor.is_floating_point() else None
