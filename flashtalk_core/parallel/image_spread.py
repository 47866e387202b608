"""How the frames of a chunk are divided among ranks, as the chunk loop sees it.

Axis legend: H W pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from torch import Tensor

from ..models.vae.coder import FrameCoder


class ImageSpread(Protocol):
    """Who encodes and decodes which part of a frame. Every rank makes the same calls.

    Latents are whole and equal on every rank, as the transformer takes and returns them; decoded
    frames are bands, of which each rank has one, or one without pixels.
    """

    @property
    def is_whole(self) -> bool:
        """Whether there is no other rank."""
        ...

    @property
    def corner_px(self) -> tuple[int, int]:
        """Row and column of the frame where this rank's band begins."""
        ...

    def encode(self, vae: FrameCoder, video: Tensor, num_latents: int = 1) -> Tensor:
        """Return the whole latents of whole frames; see :meth:`.VideoVAE.encode`."""
        ...

    def decode(self, vae: FrameCoder, latent: Tensor, num_latents: int = 1) -> Iterator[Tensor]:
        """Yield bands of the frames of whole latents; see :meth:`.VideoVAE.decode_groups`."""
        ...

    def join(self, frames: Tensor) -> Tensor:
        """Return whole frames ``(..., H, W)`` from the band of each rank."""
        ...

    def total(self, values: Tensor) -> Tensor:
        """Return the sum over all ranks, the same on each of them."""
        ...


class WholeImage:
    """One device has all of every frame; see :class:`ImageSpread`."""

    is_whole = True
    corner_px = (0, 0)

    def encode(self, vae: FrameCoder, video: Tensor, num_latents: int = 1) -> Tensor:
        """Encode; see :class:`ImageSpread`."""
        return vae.encode(video, num_latents)

    def decode(self, vae: FrameCoder, latent: Tensor, num_latents: int = 1) -> Iterator[Tensor]:
        """Decode; see :class:`ImageSpread`."""
        return vae.decode_groups(latent, num_latents)

    def join(self, frames: Tensor) -> Tensor:
        """Return the frames; see :class:`ImageSpread`."""
        return frames

    def total(self, values: Tensor) -> Tensor:
        """Return the values; see :class:`ImageSpread`."""
        return values


WHOLE: ImageSpread = WholeImage()
