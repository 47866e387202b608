"""Source of the loader's tensors: a file of any format, or a model in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol, Self

import torch
from torch import Tensor

from ...quantization.packed.packing import Packing, Parts

ReadTensor = Callable[[str], Tensor]
"""Returns the tensor of a name on the CPU; its memory may be the source's."""


def _alone(stored: Tensor) -> Parts:
    return (stored,)


@dataclass(frozen=True)
class StoredForm:
    """How a tensor is stored whose numbers are packed into fewer bits."""

    packing: Packing
    companions: tuple[str, ...] = ()
    """Tensors of the same source that belong to it, such as scales."""
    arrange: Callable[..., Parts] = field(default=_alone, repr=False)
    """Takes it and its companions, as they are read, and returns the parts that are unpacked."""
    is_by_row: bool = True
    """Whether the parts have the rows of the tensor, which is a matrix; otherwise they are the
    same numbers in rows of another length."""


@dataclass(frozen=True)
class TensorInfo:
    """Shape and type of a stored tensor."""

    shape: tuple[int, ...]
    """Of its numbers, however they are stored."""
    dtype: torch.dtype | None
    """Of its numbers; ``None`` for whole numbers and types that are not floating point."""
    form: StoredForm | None = None
    """``None`` where the numbers are stored as they are. Otherwise reading returns them packed."""
    needs_scale: bool = False
    """Whether its file says that a scale belongs to it, which may lie in another source."""

    @classmethod
    def of(cls, tensor: Tensor) -> Self:
        """Return shape and type of a tensor."""
        return cls(tuple(tensor.shape), tensor.dtype if tensor.is_floating_point() else None)


def without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return a shape without axes of length 1: writers of files add and omit them freely."""
    return tuple(size for size in shape if size != 1)


class TensorSource(Protocol):
    """Named tensors: all of their shapes and types at once, their values one by one."""

    @property
    def label(self) -> str:
        """Which one this is: the first words of messages about it, such as a path."""
        ...

    @property
    def name(self) -> str:
        """The same in short, such as the name of a file."""
        ...

    @property
    def identity(self) -> str:
        """Text for a fingerprint, which differs where the values may.

        Raises:
            WeightsError: If the source no longer exists.
        """
        ...

    @property
    def infos(self) -> Mapping[str, TensorInfo]:
        """Shape and type of every tensor by the name a published file gives it; no values are read.

        What is stored in another form, such as blocks of few bits, has the shape and type of its
        numbers, and the form says how they are unpacked.
        """
        ...

    def reading(self) -> AbstractContextManager[ReadTensor]:
        """Open for reading tensors one by one; the source is closed at the end.

        Raises:
            WeightsError: If it cannot be read, or no longer matches ``infos``.
        """
        ...
