"""Stages between the frames of a render and its encoder.

Axis legend: H W pixels of a generated frame, H' W' of one that leaves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from ..errors import require

MakeFrames = Callable[[Tensor | None, Tensor], Iterator[Tensor]]
"""Makes frames ``(H', W', 3)`` uint8 of a generated one ``(H, W, 3)`` uint8 and the one before it,
``None`` at the start of the video; all on the host."""


class FrameStage(Protocol):
    """Makes other frames of those that are generated, one after the other.

    What it makes of a frame depends on that and the one before alone, so that a render that goes
    on after any chunk is the same to the bit, and memory does not grow with the length.
    """

    @property
    def identity(self) -> str:
        """Text that differs wherever the frames would."""
        ...

    @property
    def rate_factor(self) -> int:
        """Frames that leave for each one."""
        ...

    @property
    def weight_bytes(self) -> int:
        """Device memory of its networks."""
        ...

    def size_px(self, size_px: tuple[int, int]) -> tuple[int, int]:
        """Return height and width of what leaves for that of what is generated."""
        ...

    def work_bytes(self, size_px: tuple[int, int]) -> int:
        """Return what it takes on the device besides, as an estimate from above."""
        ...

    def opened(self) -> AbstractContextManager[MakeFrames]:
        """Bring its networks to their device for as long as the context lasts."""
        ...


@dataclass(frozen=True)
class FrameFormat:
    """Shape and number of the frames of a video."""

    size_px: tuple[int, int]
    """Height and width."""
    rate_hz: int
    """Frames a second."""
    chunk_frames: int
    """Frames of a chunk."""

    def after(self, stage: FrameStage | None) -> FrameFormat:
        """Return the format behind a stage."""
        if stage is None:
            return self
        factor = stage.rate_factor
        size_px = stage.size_px(self.size_px)
        return FrameFormat(size_px, self.rate_hz * factor, self.chunk_frames * factor)


@dataclass(frozen=True)
class StageChain:
    """Stages in a row; those after the first make one frame of one, by itself."""

    stages: tuple[FrameStage, ...]

    def __repr__(self) -> str:
        return " then ".join(map(repr, self.stages))

    @property
    def identity(self) -> str:
        """See :class:`FrameStage`."""
        return " then ".join(stage.identity for stage in self.stages)

    @property
    def rate_factor(self) -> int:
        """See :class:`FrameStage`."""
        return self.stages[0].rate_factor

    @property
    def weight_bytes(self) -> int:
        """See :class:`FrameStage`."""
        return sum(stage.weight_bytes for stage in self.stages)

    def size_px(self, size_px: tuple[int, int]) -> tuple[int, int]:
        """See :class:`FrameStage`."""
        for stage in self.stages:
            size_px = stage.size_px(size_px)
        return size_px

    def work_bytes(self, size_px: tuple[int, int]) -> int:
        """Return that of the one that takes most; one runs at a time."""
        found = []
        for stage in self.stages:
            found.append(stage.work_bytes(size_px))
            size_px = stage.size_px(size_px)
        return max(found)

    @contextmanager
    def opened(self) -> Iterator[MakeFrames]:
        """See :class:`FrameStage`."""
        with ExitStack() as stack:
            first, *others = [stack.enter_context(stage.opened()) for stage in self.stages]

            def make(before: Tensor | None, frame: Tensor) -> Iterator[Tensor]:
                frames = first(before, frame)
                for other in others:
                    frames = _each(other, frames)
                return frames

            yield make


def _each(make: MakeFrames, frames: Iterator[Tensor]) -> Iterator[Tensor]:
    for frame in frames:
        yield from make(None, frame)


def chain(stages: Sequence[FrameStage]) -> FrameStage | None:
    """Return stages in a row as one, ``None`` of none.

    Raises:
        InvalidInputError: If one after the first makes more frames.
    """
    stages = [
        each
        for stage in stages
        for each in (stage.stages if isinstance(stage, StageChain) else (stage,))
    ]
    require(
        all(stage.rate_factor == 1 for stage in stages[1:]),
        "frame interpolation after another frame stage: frames in between are made first; "
        "connect the interpolation model to the first stage",
        subject="interpolation",
    )
    if len(stages) < 2:
        return stages[0] if stages else None
    return StageChain(tuple(stages))


def weights_digest(network: nn.Module) -> str:
    """Return a hash of all weights of a network, whatever file they came from."""
    digest = hashlib.sha256(type(network).__name__.encode())
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        plain = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(plain.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def weight_bytes_of(network: nn.Module) -> int:
    """Return the bytes of all weights of a network."""
    return sum(each.nbytes for each in network.state_dict().values())


def to_planes(frame: Tensor, device: torch.device) -> Tensor:
    """Bring a frame ``(H, W, 3)`` uint8 to a device, ``(1, 3, H, W)`` float32 in ``[0, 1]``."""
    return frame.to(device).permute(2, 0, 1)[None].float() / 255


def from_planes(planes: Tensor) -> Tensor:
    """Bring ``(1, 3, H, W)`` floats in ``[0, 1]`` to the host, ``(H, W, 3)`` uint8, rounded."""
    values = planes[0].float().clamp(0, 1).mul(255).round().to(torch.uint8)
    return values.permute(1, 2, 0).contiguous().cpu()
