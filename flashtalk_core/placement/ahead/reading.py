"""Which files are read ahead: those of the networks that a render uses next."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from torch import nn

from ...files.read_ahead import ReadAhead
from ...models.encoders.audio import AudioEncoder
from ...models.encoders.clip_vision import ClipVision
from ...models.encoders.text import TextEncoder
from ...models.transformer.model import AvatarDiT
from ...models.vae.light_vae import LightVAE
from ...models.vae.model import VideoVAE
from ...weights.load import AvatarCheckpoint

NETWORKS: tuple[type[nn.Module], ...] = (
    TextEncoder,
    ClipVision,
    VideoVAE,
    AvatarDiT,
    AudioEncoder,
    LightVAE,
)
"""Networks in the order of their first use."""


class NetworksAhead:
    """Reads the files of networks into the system's cache while those before are read and run.

    Those of each network once: later they are in that cache, or there was no room for them.
    """

    def __init__(self) -> None:
        self._begun: set[type[nn.Module]] = set()

    def begin(
        self,
        checkpoint: AvatarCheckpoint,
        first: type[nn.Module],
        resident: Collection[type[nn.Module]] = (),
    ) -> None:
        """Read on from a network that is about to be loaded; return at once.

        Args:
            checkpoint: Its files.
            first: Its class.
            resident: Networks that are loaded already.
        """
        paths = self.next_files(checkpoint, first, resident)
        if paths:
            ReadAhead(paths).start()

    def next_files(
        self,
        checkpoint: AvatarCheckpoint,
        first: type[nn.Module],
        resident: Collection[type[nn.Module]] = (),
    ) -> list[Path]:
        """Return the files to read, in order, and take note of them; see :meth:`begin`."""
        if first in self._begun:
            return []
        kinds = [
            kind
            for kind in NETWORKS[NETWORKS.index(first) :]
            if kind not in resident and kind not in self._begun
        ]
        self._begun.update(kinds)
        return [path for kind in kinds for path in checkpoint.files_of(kind)]
