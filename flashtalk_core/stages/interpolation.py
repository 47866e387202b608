"""Frames in between two others, by a network that takes both."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from .stage import MakeFrames, from_planes, to_planes

Between = Callable[[Tensor, Tensor], Tensor]
"""The image half way between two, each ``(1, 3, H, W)`` float32 in ``[0, 1]`` on the device."""


class Interpolator(Protocol):
    """A network that makes the image between two."""

    @property
    def identity(self) -> str:
        """Hash of its weights."""
        ...

    @property
    def weight_bytes(self) -> int:
        """Device memory of its weights."""
        ...

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        ...

    def work_bytes(self, size_px: tuple[int, int]) -> int:
        """Return what it takes on the device besides."""
        ...

    def opened(self) -> AbstractContextManager[Between]:
        """Bring it to its device as long as the context lasts."""
        ...


@dataclass(frozen=True)
class InterpolateStage:
    """Twice as many frames; :class:`.stage.FrameStage`.

    For each frame two leave: the one half way from the frame before, then itself; the first of a
    video leaves twice. So a frame is shown in the second half of its time instead of all of it,
    10 ms later at 25 frames a second than its middle was. Half a frame earlier would be as far off,
    and the last frame of each chunk would wait for the next chunk.
    """

    network: Interpolator

    def __repr__(self) -> str:
        return "twice the frames"

    @property
    def identity(self) -> str:
        """See :class:`.stage.FrameStage`."""
        return f"between {self.network.identity}"

    @property
    def rate_factor(self) -> int:
        """Two frames leave for each."""
        return 2

    @property
    def weight_bytes(self) -> int:
        """See :class:`.stage.FrameStage`."""
        return self.network.weight_bytes

    def size_px(self, size_px: tuple[int, int]) -> tuple[int, int]:
        """Return the size as it is."""
        return size_px

    def work_bytes(self, size_px: tuple[int, int]) -> int:
        """See :class:`.stage.FrameStage`."""
        return self.network.work_bytes(size_px)

    @contextmanager
    def opened(self) -> Iterator[MakeFrames]:
        """See :class:`.stage.FrameStage`."""
        with self.network.opened() as between:
            device = self.network.device

            def make(before: Tensor | None, frame: Tensor) -> Iterator[Tensor]:
                if before is None:
                    yield frame
                else:
                    with torch.inference_mode():
                        pair = to_planes(before, device), to_planes(frame, device)
                        middle = from_planes(between(*pair))
                    yield middle
                yield frame

            yield make
