"""Access of the engine to networks, independent of what loads and evicts them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, TypeVar, cast

from torch import nn

N = TypeVar("N", bound=nn.Module)


class Residency(Protocol):
    """Provides networks on their device while they are acquired.

    A host that shares the device with other models evicts a network that is not acquired, and
    brings it back when it is acquired again.
    """

    def acquire(self, kind: type[N]) -> AbstractContextManager[N]:
        """Hold the network of class ``kind`` on its device until the context is left."""
        ...

    def release(self, kind: type[nn.Module]) -> None:
        """Evict a network; the next :meth:`acquire` reads its weights again."""
        ...


class LoadEvents(Protocol):
    """What the provider of networks reports while it reads weights."""

    def loading(self, kind: type[nn.Module], /) -> object:
        """A tensor of the network of class ``kind`` is about to be read; called for each one.

        Called at the first use of each network. Any exception it raises stops the reading.
        """
        ...


class FixedNetworks:
    """Networks that are loaded already and stay resident."""

    def __init__(self, *networks: nn.Module) -> None:
        """Provide ``networks``, at most one of each class."""
        self._networks = {type(network): network for network in networks}

    @contextmanager
    def acquire(self, kind: type[N]) -> Iterator[N]:
        """Hold a network on its device; see :class:`Residency`."""
        yield cast("N", self._networks[kind])

    def release(self, kind: type[nn.Module]) -> None:
        """Do nothing: the networks belong to the caller."""
