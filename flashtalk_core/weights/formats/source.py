"""Source of the loader's tensors: a file of any format, or a model in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, Self

import torch
from torch import Tensor

ReadTensor = Callable[[str], Tensor]
"""Returns the tensor of a name on the CPU; its memory may be the source's."""


@dataclass(frozen=True)
class TensorInfo:
    """Shape and type of a stored tensor."""

    shape: tuple[int, ...]
    dtype: torch.dtype | None
    """``None`` for whole numbers and types that are not floating point."""

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

        What is stored in another form, such as blocks of few bits, has the shape and type that
        reading returns.
        """
        ...

    def reading(self) -> AbstractContextManager[ReadTensor]:
        """Open for reading tensors one by one; the source is closed at the end.

        Raises:
            WeightsError: If it cannot be read, or no longer matches ``infos``.
        """
        ...
