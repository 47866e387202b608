"""What every autoencoder of frames can do, whatever its layers are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from torch import Tensor


class FrameCoder(Protocol):
    """Encodes frames and decodes latents."""

    def encode(self, video: Tensor, num_latents: int = 1) -> Tensor:
        """Return normalised latents; see :meth:`.VideoVAE.encode`."""
        ...

    def decode_groups(self, latent: Tensor, num_latents: int = 1) -> Iterator[Tensor]:
        """Yield groups of frames; see :meth:`.VideoVAE.decode_groups`."""
        ...
