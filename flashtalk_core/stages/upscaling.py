"""Frames made larger and sharper by a network that takes an image.

Axis legend: H W pixels of a frame, s scale of the network.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ..errors import NoMemoryError, require
from ..log import printable_log
from .stage import MakeFrames, from_planes, to_planes

_log = printable_log(logging.getLogger(__name__))

TILE_PX = 512
"""Most pixels of a side that the network gets at once, less the halo."""
HALO_PX = 32
"""Pixels around a tile that it sees as well, and that are cut off again."""
MIN_SCALE, MAX_SCALE = 0.25, 8.0
_MIN_TILE_PX = 128
_WORK_VALUES = 384
"""Values that networks hold for each of a tile's and each step of scale; ComfyUI's estimate."""
_CHANNELS = 3
_FLOAT_BYTES = 4

Upscale = Callable[[Tensor], Tensor]
"""``(1, 3, h, w)`` float32 in ``[0, 1]`` to ``(1, 3, s*h, s*w)``, on the device."""


class Upscaler(Protocol):
    """A network that makes images larger; sharper alone at a scale of 1."""

    @property
    def identity(self) -> str:
        """Hash of its weights."""
        ...

    @property
    def scale(self) -> int:
        """How much larger."""
        ...

    @property
    def weight_bytes(self) -> int:
        """Device memory of its weights."""
        ...

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        ...

    def opened(self) -> AbstractContextManager[Upscale]:
        """Bring it to its device as long as the context lasts."""
        ...


def check_scale(scale: float | None) -> None:
    """Raise :class:`InvalidInputError` unless frames can leave ``scale`` times as large."""
    require(
        scale is None or MIN_SCALE <= scale <= MAX_SCALE,
        f"upscaling by {scale}: use {MIN_SCALE:g} to {MAX_SCALE:g}, or leave it out for the scale "
        "of the model",
        subject="upscale_by",
    )


@dataclass(frozen=True)
class UpscaleStage:
    """Upscales each frame by itself; :class:`.stage.FrameStage`."""

    network: Upscaler
    scale: float | None = None
    """How much larger frames leave; what the network makes is resized. ``None`` is its own."""

    def __post_init__(self) -> None:
        check_scale(self.scale)

    def __repr__(self) -> str:
        return f"upscale x {self._factor:g}"

    @property
    def identity(self) -> str:
        """See :class:`.stage.FrameStage`."""
        return f"upscale {self.network.identity} x {self._factor!r}"

    @property
    def rate_factor(self) -> int:
        """One frame leaves for each."""
        return 1

    @property
    def weight_bytes(self) -> int:
        """See :class:`.stage.FrameStage`."""
        return self.network.weight_bytes

    @property
    def _factor(self) -> float:
        return float(self.network.scale) if self.scale is None else self.scale

    def size_px(self, size_px: tuple[int, int]) -> tuple[int, int]:
        """Return the size times the scale, to the nearest even number."""
        height, width = (max(2, round(side * self._factor / 2) * 2) for side in size_px)
        return height, width

    def work_bytes(self, size_px: tuple[int, int]) -> int:
        """See :class:`.stage.FrameStage`."""
        height, width = (min(side, TILE_PX + 2 * HALO_PX) for side in size_px)
        each = _CHANNELS * _FLOAT_BYTES
        tile = height * width * each * max(1, self.network.scale) * _WORK_VALUES
        whole = size_px[0] * size_px[1] * each * self.network.scale**2
        return tile + 3 * whole

    @contextmanager
    def opened(self) -> Iterator[MakeFrames]:
        """See :class:`.stage.FrameStage`."""
        with self.network.opened() as upscale:
            tiles = _Tiles(upscale, self.network.scale)

            def make(_before: Tensor | None, frame: Tensor) -> Iterator[Tensor]:
                with torch.inference_mode():
                    larger = tiles.run(to_planes(frame, self.network.device))
                    size = self.size_px((frame.shape[0], frame.shape[1]))
                    if tuple(larger.shape[-2:]) != size:
                        larger = interpolate(larger.float(), size, mode="bicubic", antialias=True)
                    yield from_planes(larger)

            yield make


class _Tiles:
    """Runs a network on tiles; on smaller ones from then on where memory runs out."""

    def __init__(self, upscale: Upscale, scale: int) -> None:
        self._upscale, self._scale = upscale, scale
        self._tile_px = TILE_PX

    def run(self, planes: Tensor) -> Tensor:
        """Return ``(1, 3, s*H, s*W)`` for ``(1, 3, H, W)``.

        Raises:
            NoMemoryError: If the smallest tiles are too large.
        """
        while True:
            try:
                return self._whole(planes)
            except torch.OutOfMemoryError as error:
                if self._tile_px <= _MIN_TILE_PX:
                    raise NoMemoryError(
                        f"upscaling: out of memory with tiles of {self._tile_px} pixels; use a "
                        "smaller model or size, or close other programs",
                        subject="upscale",
                    ) from error
                self._tile_px //= 2
            _log.warning("upscaling: out of memory; tiles of %d pixels from here on", self._tile_px)
            gc.collect()
            torch.cuda.empty_cache()

    def _whole(self, planes: Tensor) -> Tensor:
        scale, (height, width) = self._scale, planes.shape[-2:]
        rows, columns = (_parts(side, self._tile_px) for side in (height, width))
        if len(rows) == len(columns) == 1:
            return self._upscale(planes)
        whole = planes.new_empty(*planes.shape[:2], scale * height, scale * width)
        for top, bottom in rows:
            for left, right in columns:
                first = max(0, top - HALO_PX), max(0, left - HALO_PX)
                tile = planes[..., first[0] : bottom + HALO_PX, first[1] : right + HALO_PX]
                larger = self._upscale(tile)
                y, x = scale * (top - first[0]), scale * (left - first[1])
                part = whole[..., scale * top : scale * bottom, scale * left : scale * right]
                part.copy_(larger[..., y : y + part.shape[-2], x : x + part.shape[-1]])
        return whole


def _parts(side: int, tile_px: int) -> list[tuple[int, int]]:
    """Return the ends of the fewest parts of a side, as even as they get."""
    count = -(-side // tile_px)
    edges = [side * index // count for index in range(count + 1)]
    return list(pairwise(edges))
