"""Networks that are loaded at their first use and stay resident."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from torch import nn

from ..models.encoders.audio import AudioEncoder
from ..models.transformer.model import AvatarDiT
from ..models.vae.model import VideoVAE
from ..offload.tensors import synchronize
from ..weights.load import AvatarCheckpoint
from .ahead.loading import LoadAhead
from .ahead.reading import NetworksAhead
from .load import LoadedNetwork, load_network
from .place import Placement
from .provider import LoadEvents

N = TypeVar("N", bound=nn.Module)


class CachedNetworks:
    """Reads each network when it is first used; it stays resident on its device.

    What was built for its execution mode serves every later render, of any size.
    """

    def __init__(
        self,
        checkpoint: AvatarCheckpoint,
        placement: Placement,
        events: LoadEvents | None = None,
        *,
        reads_ahead: bool = False,
    ) -> None:
        """Read nothing yet.

        Args:
            checkpoint: Files of the networks.
            placement: Where they run.
            events: Receives the loading of each tensor; ``None`` reports nothing.
            reads_ahead: Whether files of the networks after it are read while one is, and runs;
                on a CPU those networks are also loaded while the portrait is encoded.
        """
        self._checkpoint = checkpoint
        self._placement = placement
        self._events = events
        self._networks: dict[type[nn.Module], LoadedNetwork[Any]] = {}
        self._ahead = NetworksAhead() if reads_ahead else None
        self._loading = LoadAhead(self._load)
        # On a GPU room is made for one network after another.
        self._loads_ahead = reads_ahead and placement.device.type == "cpu"

    @contextmanager
    def acquire(self, kind: type[N]) -> Iterator[N]:
        """Hold a network on its device; see :class:`.provider.Residency`."""
        if kind not in self._networks:
            if self._ahead is not None:
                self._ahead.begin(self._checkpoint, kind, self._networks)
            self._networks[kind] = self._loading.take(kind) or self._load(kind)
        if kind is VideoVAE:
            self._load_ahead()
        yield cast("N", self._networks[kind].network)

    def _load(self, kind: type[nn.Module]) -> LoadedNetwork[Any]:
        return load_network(self._checkpoint, self._placement, kind, events=self._events)

    def _load_ahead(self) -> None:
        """Load what a chunk takes while the portrait is encoded, before its first one."""
        if self._loads_ahead:
            self._loads_ahead = False
            kinds = (AvatarDiT, AudioEncoder)
            self._loading.begin([kind for kind in kinds if kind not in self._networks])

    def release(self, kind: type[nn.Module]) -> None:
        """Evict a network; see :class:`.provider.Residency`."""
        loaded = self._networks.pop(kind, None)
        if loaded is not None and loaded.offload is not None:
            synchronize(self._placement.device_of(kind))
            del loaded
            gc.collect()  # network and offload refer to each other
