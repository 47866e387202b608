"""Frames of which each rank has a band: encoded, decoded and joined.

Axis legend: T latent frames, H W pixels, h w latent cells.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from torch import Tensor

from ..geometry import SPATIAL_STRIDE, TEMPORAL_STRIDE, num_latent_frames
from ..models.vae.coder import FrameCoder
from ..models.vae.model import VideoVAE, group_sizes
from .bands import AUTO, Band, VaeGrid, choose_grid
from .collectives import Collectives
from .halo import spread_autoencoder
from .image_spread import WHOLE, ImageSpread


@dataclass(frozen=True)
class BandedImages:
    """Some ranks have a band of every frame, and the others none; see :class:`ImageSpread`.

    A rank without a band computes nothing, and takes part in what all ranks exchange.
    """

    grid: VaeGrid
    group: Collectives
    """All ranks."""
    holders: tuple[int, ...]
    """Ranks that have a band, in order of bands."""
    subgroup: Collectives | None
    """Of those; ``None`` on a rank that has none."""

    @classmethod
    def over(cls, grid: VaeGrid, group: Collectives, ranks: Sequence[int] = ()) -> Self:
        """Divide frames by ``grid``; every rank makes the call.

        Args:
            grid: The bands; not more than there are ranks.
            group: All ranks.
            ranks: Those that may get a band, in ascending order; by default all.
        """
        holders = tuple(ranks or range(group.size))[: grid.size]
        assert len(holders) == grid.size, (holders, grid)
        assert list(holders) == sorted(set(holders)), holders
        are_all = len(holders) == group.size
        return cls(grid, group, holders, group if are_all else group.subgroup([holders]))

    @property
    def is_whole(self) -> bool:
        """Whether there is no other rank; see :class:`ImageSpread`."""
        return self.group.size == 1

    @property
    def band_here(self) -> Band | None:
        """The band of this rank."""
        return None if self.subgroup is None else self.grid.bands[self.subgroup.rank]

    @property
    def corner_px(self) -> tuple[int, int]:
        """Return the first row and column; see :class:`ImageSpread`."""
        band = self.band_here
        if band is None:
            return 0, 0
        return band.rows.start * SPATIAL_STRIDE, band.columns.start * SPATIAL_STRIDE

    def encode(self, vae: FrameCoder, video: Tensor, num_latents: int = 1) -> Tensor:
        """Encode the band of this rank, and join those of all; see :class:`ImageSpread`."""
        if not isinstance(vae, VideoVAE):
            return vae.encode(video, num_latents)  # on every rank: it costs less than an exchange
        if self.subgroup is None:
            num_frames = num_latent_frames(video.shape[2])
            shape = (video.shape[0], vae.config.z_dim, num_frames, 0, 0)
            return self._join(video.new_empty(shape), 1)
        spread_autoencoder(vae, self.grid, self.subgroup)
        return self._join(vae.encode(self.band(video, SPATIAL_STRIDE), num_latents), 1)

    def decode(self, vae: FrameCoder, latent: Tensor, num_latents: int = 1) -> Iterator[Tensor]:
        """Decode the band of this rank; see :class:`ImageSpread`."""
        if self.subgroup is not None:
            yield from self._decode_band(vae, latent, num_latents)
            return
        num_earlier = 0
        for count in group_sizes(latent.shape[2], num_latents):
            num_frames = TEMPORAL_STRIDE * count - (0 if num_earlier else TEMPORAL_STRIDE - 1)
            num_earlier += count
            yield latent.new_empty(latent.shape[0], 3, num_frames, 0, 0)

    def _decode_band(self, vae: FrameCoder, latent: Tensor, num_latents: int) -> Iterator[Tensor]:
        if not isinstance(vae, VideoVAE) or vae.has_light_decoder:
            # It costs less than an exchange between its layers.
            for frames in vae.decode_groups(latent, num_latents):
                yield self.band(frames, SPATIAL_STRIDE)
            return
        assert self.subgroup is not None
        spread_autoencoder(vae, self.grid, self.subgroup)
        yield from vae.decode_groups(self.band(latent, 1), num_latents)

    def join(self, frames: Tensor) -> Tensor:
        """Join the bands of all ranks, on all of them; see :class:`ImageSpread`."""
        return self._join(frames, SPATIAL_STRIDE)

    def total(self, values: Tensor) -> Tensor:
        """Add up over all ranks; see :class:`ImageSpread`."""
        return self.group.sum(values)

    def band(self, whole: Tensor, scale: int) -> Tensor:
        """Return this rank's part of ``(..., H, W)`` with ``scale`` pixels a latent cell."""
        band = self.band_here
        rows, columns = (slice(0), slice(0)) if band is None else band.pixels(scale)
        return whole[..., rows, columns]

    def _join(self, part: Tensor, scale: int) -> Tensor:
        """Join parts with ``scale`` pixels a latent cell."""
        lead, bands = part.shape[:-2], self.grid.bands
        shapes = [(*lead, 0, 0)] * self.group.size
        for rank, band in zip(self.holders, bands, strict=True):
            shapes[rank] = (*lead, len(band.rows) * scale, len(band.columns) * scale)
        parts = self.group.all_gather(part, shapes)
        whole = part.new_empty(*lead, *(cells * scale for cells in self.grid.cells))
        for rank, band in zip(self.holders, bands, strict=True):
            rows, columns = band.pixels(scale)
            whole[..., rows, columns] = parts[rank]
        return whole


def spread_images(
    group: Collectives, size_px: tuple[int, int], grid: str = AUTO, ranks: Sequence[int] = ()
) -> ImageSpread:
    """Divide the frames of a render among ranks; every rank makes the call.

    Args:
        group: All ranks.
        size_px: Height and width of the video.
        grid: How; see :func:`choose_grid`.
        ranks: Those that may get a band, in ascending order; by default all.

    Raises:
        InvalidInputError: If there is no such grid.
    """
    if group.size == 1:
        return WHOLE
    return BandedImages.over(choose_grid(grid, size_px, len(ranks) or group.size), group, ranks)
