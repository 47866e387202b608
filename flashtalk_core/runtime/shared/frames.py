"""The frames of a chunk in the shared pages, and the motion frames that the next one needs."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ...config.chunk import ChunkConfig
from ...engine.state import FrameGroup
from .pages import Pages

_FLOAT_BYTES = 4


class SharedFrames:
    """Frames ``(f, H, W, 3)`` uint8, then motion frames ``(1, 3, M, H, W)`` float32."""

    def __init__(self, pages: Pages, chunk: ChunkConfig, size_px: tuple[int, int]) -> None:
        """Map the frames of a session; memory for them was reserved."""
        shape = _frames_shape(chunk, size_px)
        memory = torch.from_numpy(pages.map_frames(frame_bytes(chunk, size_px)))
        self._frames = memory[: math.prod(shape)].view(shape)
        motion = _motion_shape(chunk, size_px)
        rest = memory[len(memory) - _FLOAT_BYTES * math.prod(motion) :]
        self._motion = rest.view(torch.float32).view(motion)

    def write(self, first: int, group: FrameGroup, *, with_state: bool = True) -> None:
        """Store a rank's part of frames from index ``first`` of the chunk on, and the state."""
        (top, left), (count, height, width) = group.corner_px, group.frames.shape[:3]
        here = self._frames[first : first + count, top : top + height, left : left + width]
        here.copy_(group.frames)
        if group.state is not None and with_state:
            assert group.state.motion_frames is not None, "a chunk leaves motion frames"
            self._motion.copy_(group.state.motion_frames)

    def read(self, first: int, count: int) -> Tensor:
        """Return a copy of frames."""
        return self._frames[first : first + count].clone()

    def read_motion(self) -> Tensor:
        """Return a copy of the motion frames."""
        return self._motion.clone()


def frame_bytes(chunk: ChunkConfig, size_px: tuple[int, int]) -> int:
    """Return the bytes of both; motion frames begin at a whole float32."""
    frames = math.prod(_frames_shape(chunk, size_px))
    return -(-frames // 64) * 64 + _FLOAT_BYTES * math.prod(_motion_shape(chunk, size_px))


def _frames_shape(chunk: ChunkConfig, size_px: tuple[int, int]) -> tuple[int, ...]:
    return chunk.num_new_frames, *size_px, 3


def _motion_shape(chunk: ChunkConfig, size_px: tuple[int, int]) -> tuple[int, ...]:
    return 1, 3, chunk.num_motion_frames, *size_px
