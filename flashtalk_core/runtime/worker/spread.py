"""Networks of a rank: read by all ranks together, and divided among them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor, nn

from ...acceleration.kernel_options import Exchange
from ...models.transformer.model import AvatarDiT
from ...parallel.collectives import Collectives
from ...parallel.groups import SequenceGroups
from ...parallel.sequence import spread_transformer
from ...placement.provider import Residency
from .tickets import StoppedError

N = TypeVar("N", bound=nn.Module)

_MOST_DIMS = 6


class SpreadNetworks:
    """:class:`Residency` of one rank. All ranks acquire the same networks in the same order.

    Each rank reads the files itself: the system reads them from disk once and gives the others its
    copy in memory, which is faster than a broadcast through the host and needs no exchange while
    weights are read, so that a rank that fails or stops there leaves none waiting in one.
    """

    def __init__(
        self,
        inner: Residency,
        groups: SequenceGroups,
        control: Collectives,
        exchange: Exchange = "collectives",
    ) -> None:
        """Read nothing yet.

        Args:
            inner: Reads the networks on this rank's device.
            groups: Of the devices.
            control: Exchange between the processes, in host memory.
            exchange: What exchanges tokens.
        """
        self._inner = inner
        self._groups = groups
        self._exchange: Exchange = exchange
        self._control = control
        self._read: set[type[nn.Module]] = set()

    @contextmanager
    def acquire(self, kind: type[N]) -> Iterator[N]:
        """Hold a network on its device; see :class:`.provider.Residency`.

        Raises:
            StoppedError: If another rank could not read it, or was stopped while it did.
        """
        if kind not in self._read:
            self._read_together(kind)
        with self._inner.acquire(kind) as network:
            yield network

    def release(self, kind: type[nn.Module]) -> None:
        """Evict a network on this rank; the others do the same."""
        self._read.discard(kind)
        self._inner.release(kind)

    def _read_together(self, kind: type[nn.Module]) -> None:
        has_failed = True
        try:
            with self._inner.acquire(kind) as network:
                spread_network(network, self._groups, self._exchange)
            has_failed = False
        finally:
            others_failed = bool(self._control.max(torch.tensor([int(has_failed)])).item())
            if others_failed:
                self._inner.release(kind)
        if others_failed:
            raise StoppedError
        self._read.add(kind)


def spread_network(network: nn.Module, groups: SequenceGroups, exchange: Exchange) -> None:
    """Divide a network's work among the ranks, in place.

    The autoencoder is divided when it is used, by the size of the frames, see
    :mod:`flashtalk_core.parallel.image_spread`; encoders are small, and each rank runs them.
    """
    if isinstance(network, AvatarDiT):
        spread_transformer(network, groups, exchange)


def share(make: Callable[[], list[Tensor]], control: Collectives) -> list[Tensor]:
    """Return what rank 0 makes on all ranks, in host memory on the others.

    Args:
        make: Called on rank 0.
        control: Exchange between the processes, in host memory.

    Raises:
        StoppedError: On the others, if ``make`` raises on rank 0.
    """
    made: list[Tensor] = []
    count = -1
    try:
        if control.rank == 0:
            made = make()
            count = len(made)
    finally:
        count = int(control.broadcast(torch.tensor([count]), 0).item())
    if count < 0:
        raise StoppedError
    shared = [_share_one(made[index] if made else None, control) for index in range(count)]
    return made or shared


_DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


def _share_one(tensor: Tensor | None, control: Collectives) -> Tensor:
    head = torch.zeros(2 + _MOST_DIMS, dtype=torch.int64)
    if tensor is not None:
        assert tensor.ndim <= _MOST_DIMS, tensor.shape
        head[:2] = torch.tensor([_DTYPES.index(tensor.dtype), tensor.ndim])
        head[2 : 2 + tensor.ndim] = torch.tensor(tensor.shape)
    index, ndim, *sides = control.broadcast(head, 0).tolist()
    values = torch.empty(sides[:ndim], dtype=_DTYPES[index])
    if tensor is not None:
        values.copy_(tensor)
    data = control.broadcast(values.reshape(-1).view(torch.uint8), 0)
    return data.view(values.dtype).reshape(values.shape)
