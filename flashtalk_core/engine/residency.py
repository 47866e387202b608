"""Where networks are while they work, and while they do not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Protocol, TypeVar, cast

import torch
from torch import nn

from ..config import FastPaths
from ..models.acceleration import accelerate
from ..models.vae.model import VideoVAE
from ..weights.load import AvatarCheckpoint

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


@dataclass(frozen=True)
class Placement:
    """Where networks run, and in which number format."""

    device: torch.device
    dtype: torch.dtype
    vae_device: torch.device | None = None
    """Where the autoencoder runs; ``None`` is where the others do."""
    paths: FastPaths = field(default_factory=FastPaths.none)
    """Faster ways through the networks."""

    def device_of(self, kind: type[nn.Module]) -> torch.device:
        """Return where a network of class ``kind`` runs."""
        return self.vae_device or self.device if kind is VideoVAE else self.device

    def paths_of(self, kind: type[nn.Module]) -> FastPaths:
        """Return the faster ways of a network of class ``kind``; none on a device of another type.

        They were chosen for the device that most networks run on.
        """
        is_same = self.device_of(kind).type == self.device.type
        return self.paths if is_same else FastPaths.none()


class StayLoaded:
    """Reads each network when it is first used and keeps it on its device.

    It goes the faster ways from then on; what was built for them serves every later render, of
    whatever size.
    """

    def __init__(self, checkpoint: AvatarCheckpoint, placement: Placement) -> None:
        """Read nothing yet."""
        self._checkpoint = checkpoint
        self._placement = placement
        self._networks: dict[type[nn.Module], nn.Module] = {}

    @contextmanager
    def use(self, kind: type[N]) -> Iterator[N]:
        """Lend a network; see :class:`Residency`."""
        if kind not in self._networks:
            device, dtype = self._placement.device_of(kind), self._placement.dtype
            network = self._checkpoint.load(kind, device, dtype)
            accelerate(network, self._placement.paths_of(kind), device)
            self._networks[kind] = network
        yield cast("N", self._networks[kind])

    def free(self, kind: type[nn.Module]) -> None:
        """Forget a network; see :class:`Residency`."""
        self._networks.pop(kind, None)


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
