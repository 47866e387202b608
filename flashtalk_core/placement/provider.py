"""Networks as the engine asks for them, whoever loads and keeps them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, TypeVar, cast

from torch import nn

N = TypeVar("N", bound=nn.Module)


class Residency(Protocol):
    """Lends networks out; where they stay in between is its own affair.

    A host that shares the device with other models evicts a network that is not lent out, and
    brings it back when it is asked for again.
    """

    def use(self, kind: type[N]) -> AbstractContextManager[N]:
        """Lend the network of class ``kind``, on its device until the context is left."""
        ...

    def free(self, kind: type[nn.Module]) -> None:
        """Forget a network; the next use reads its weights anew."""
        ...


class Resident:
    """Networks that somebody else loaded and keeps."""

    def __init__(self, *networks: nn.Module) -> None:
        """Lend ``networks``, at most one of each class."""
        self._networks = {type(network): network for network in networks}

    @contextmanager
    def use(self, kind: type[N]) -> Iterator[N]:
        """Lend a network; see :class:`Residency`."""
        yield cast("N", self._networks[kind])

    def free(self, kind: type[nn.Module]) -> None:
        """Do nothing: the networks belong to somebody else."""
