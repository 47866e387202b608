"""The autoencoder's large layers run over a few rows of the picture at a time.

Axis legend: B batch, C channels, F frames at this level, H W pixels at this level.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from .cache import CausalCache
from .layers import ResidualBlock, RMSNorm, SequenceRunner, Upsample

SLAB_ELEMENTS = 2**25
"""Numbers in one tensor of a slab, unless one is given: 64 MiB in bfloat16."""
_MIN_ROWS = 8


@dataclass(frozen=True)
class Slab:
    """Some rows of a layer's input, with the rows beside them that its kernels reach."""

    start: int
    stop: int
    above: int
    """Rows before ``start`` that are read besides."""
    below: int

    @property
    def read(self) -> slice:
        """Rows that are read."""
        return slice(self.start - self.above, self.stop + self.below)

    def crop(self, rows: Tensor, scale: int = 1) -> Tensor:
        """Leave out what was read besides; ``scale`` is the output's height over the input's."""
        stop = rows.shape[-2] - self.below * scale
        return rows[..., self.above * scale : stop, :]


class SlabRunner:
    """Runs residual blocks, upsampling and heads slab by slab, other layers as they are.

    Convolutions reach one row up and down and norms none, so that a slab with as many rows
    besides as there are convolutions one after the other gives the rows of the whole picture:
    nothing is blended, and no seam can be seen. Attention sees the whole picture, which is small
    where it runs. What is saved are the tensors inside a layer; its input and output, and the
    past frames, stay whole.
    """

    def __init__(self, inner: SequenceRunner, max_elements: int = SLAB_ELEMENTS) -> None:
        """Run each slab with ``inner``; its input has at most ``max_elements`` numbers."""
        self._inner = inner
        self._max_elements = max_elements

    def __call__(self, layers: Iterable[nn.Module], x: Tensor, cache: CausalCache | None) -> Tensor:
        """Run ``layers`` on ``(B, C, F, H, W)``; see :func:`run_sequence`."""
        layers = list(layers)
        for unit in [layers] if isinstance(layers[0], RMSNorm) else [[each] for each in layers]:
            slabs = self._cut(unit, x)
            if len(slabs) > 1 and cache is not None:
                x = self._run_slabs(unit, slabs, x, cache)
            else:
                x = self._inner(unit, x, cache)
        return x

    def _cut(self, unit: list[nn.Module], x: Tensor) -> list[Slab]:
        reach = _reach(unit)
        height = x.shape[3]
        if not reach:
            return []
        rows = max(_MIN_ROWS, self._max_elements * height // x.numel() - 2 * reach)
        return [
            Slab(start, stop, min(reach, start), min(reach, height - stop))
            for start in range(0, height, rows)
            for stop in [min(start + rows, height)]
        ]

    def _run_slabs(
        self, unit: list[nn.Module], slabs: list[Slab], x: Tensor, cache: CausalCache
    ) -> Tensor:
        scale = 2 if isinstance(unit[0], Upsample) else 1
        whole = _SlabbedCache(cache, x.shape[3])
        out: Tensor | None = None
        for slab in slabs:
            part = self._inner(unit, x[..., slab.read, :], whole.at(slab))
            part = slab.crop(part, scale)
            if out is None:
                out = _like(part, x.shape[3] * scale)
            out[..., slab.start * scale : slab.stop * scale, :] = part
        whole.finish()
        assert out is not None
        return out


class _SlabbedCache:
    """Past frames of whole pictures, read and written slab by slab.

    What is written becomes the past when every slab is through: the next slab still reads rows
    of this one as they were.
    """

    def __init__(self, cache: CausalCache, height: int) -> None:
        self._cache = cache
        self._height = height
        self._written: dict[str, Tensor] = {}

    def at(self, slab: Slab) -> CausalCache:
        return cast("CausalCache", _SlabCache(self, slab))

    def read(self, layer: str) -> Tensor | None:
        return self._cache.read(layer)

    def write(self, layer: str, frames: Tensor, slab: Slab) -> None:
        if not frames.ndim:  # a mark that a clip has begun
            self._written[layer] = frames
            return
        if layer not in self._written:
            self._written[layer] = _like(frames, self._height)
        self._written[layer][..., slab.start : slab.stop, :] = slab.crop(frames)

    def finish(self) -> None:
        for layer in list(self._written):
            self._cache.put(layer, self._written.pop(layer))


@dataclass(frozen=True)
class _SlabCache:
    """What a :class:`CausalCache` is to the layers, for one slab."""

    whole: _SlabbedCache
    slab: Slab

    def read(self, layer: str) -> Tensor | None:
        frames = self.whole.read(layer)
        return frames if frames is None or not frames.ndim else frames[..., self.slab.read, :]

    def write(self, layer: str, frames: Tensor) -> None:
        self.whole.write(layer, frames, self.slab)


def _reach(unit: list[nn.Module]) -> int:
    """Return how many rows up and down ``unit`` sees; 0 for layers that run whole."""
    if isinstance(unit[0], ResidualBlock):
        return 2
    return 1 if isinstance(unit[0], Upsample | RMSNorm) else 0


def _like(part: Tensor, height: int) -> Tensor:
    """Return an empty tensor of ``height`` rows, otherwise as ``part``, channels last if it was."""
    shape = (*part.shape[:3], height, part.shape[4])
    is_last = part.is_contiguous(memory_format=torch.channels_last_3d)
    layout = torch.channels_last_3d if is_last else torch.contiguous_format
    return torch.empty(shape, dtype=part.dtype, device=part.device, memory_format=layout)
