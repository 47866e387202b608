"""Tensor files: what they hold, known from their headers, and one tensor at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from ...errors import WeightsError
from ...excerpt import excerpt
from .file_border import file_border, file_identity
from .gguf.file import check_gguf, reading_gguf
from .pickle_file import check_pickle, glance_at_pickle, reading_pickle
from .safetensors_file import check_safetensors, read_header, reading_safetensors
from .source import ReadTensor, TensorInfo
from .suffixes import GGUF, PICKLES, SAFETENSORS

_Stamp = tuple[int, int]
"""Size in bytes and time of change in nanoseconds."""


@dataclass(frozen=True)
class _Format:
    """How files of one format are read."""

    suffixes: tuple[str, ...]
    check: Callable[[Path], Mapping[str, TensorInfo]]
    """Reads what the file holds and refuses one that is damaged; no values are read."""
    glance: Callable[[Path], Mapping[str, TensorInfo] | None]
    """See :func:`check_header`."""
    reading: Callable[[Path], AbstractContextManager[ReadTensor]]


_SAFETENSORS = _Format(SAFETENSORS, check_safetensors, read_header, reading_safetensors)
_PICKLE = _Format(PICKLES, check_pickle, glance_at_pickle, reading_pickle)
_GGUF = _Format(GGUF, check_gguf, check_gguf, reading_gguf)
_FORMATS = (_SAFETENSORS, _PICKLE, _GGUF)


@dataclass(frozen=True)
class TensorFile:
    """A file of named tensors whose header has been read and checked; a tensor source."""

    path: Path
    infos: Mapping[str, TensorInfo]
    stamp: _Stamp = field(compare=False)
    """Of the file as it was checked."""

    def __repr__(self) -> str:
        return f"TensorFile({excerpt(self.name)}, {len(self.infos)} tensors)"

    @property
    def label(self) -> str:
        """Its path."""
        return str(self.path)

    @property
    def name(self) -> str:
        """Its name without the folder."""
        return self.path.name

    @property
    def identity(self) -> str:
        """Name, size and time of change of the file as it is now."""
        return file_identity(self.path)

    @contextmanager
    def reading(self) -> Iterator[ReadTensor]:
        """Open for reading tensors one by one; the file is closed at the end.

        Raises:
            WeightsError: If it cannot be read, or is another file than was checked.
        """
        # Reading a memory-mapped file that became shorter would end the whole process.
        if _stamp(self.path) != self.stamp:
            raise WeightsError(
                f"{self.path}: changed since it was checked; wait until it is whole and try again"
            )
        with _format_of(self.path).reading(self.path) as read:
            yield self._bounded(read)

    def _bounded(self, read: ReadTensor) -> ReadTensor:
        def read_one(name: str) -> Tensor:
            with file_border(self.path):
                return read(name)

        return read_one


def open_tensor_file(path: Path) -> TensorFile:
    """Read the header of a ``.safetensors`` or ``.gguf`` file, or the table of a pickled one.

    Raises:
        WeightsError: If the file is cut short, holds something else, or is a pickle with code.
        NoMemoryError: If reading it takes more memory than there is.
    """
    stamp = _stamp(path)
    return TensorFile(path, _format_of(path).check(path), stamp)


def check_header(path: Path) -> Mapping[str, TensorInfo] | None:
    """Check how a file begins and its size, without reading more than a header.

    Returns:
        Its tensors by name; ``None`` for a pickled file, whose table is not read here.

    Raises:
        WeightsError: If that shows already that it is damaged or something else.
    """
    return _format_of(path).glance(path)


def _format_of(path: Path) -> _Format:
    """Return the format by the ending of the name; a file of any other is read as a pickle."""
    suffix = path.suffix.lower()
    return next((each for each in _FORMATS if suffix in each.suffixes), _PICKLE)


def _stamp(path: Path) -> _Stamp:
    with file_border(path):
        status = path.stat()
    return status.st_size, status.st_mtime_ns
