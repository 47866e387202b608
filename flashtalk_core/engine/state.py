"""The state of a session, passed into a chunk and returned by it, and what generates chunks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from ..config.chunk import ChunkConfig
from ..geometry import ChunkSpan


@dataclass(frozen=True)
class SessionState:
    """Progress of a session. Loudness is measured over the whole file, so it is not part."""

    chunk_index: int = 0
    """Chunk to be generated next."""
    motion_frames: Tensor | None = None
    """Last corrected frames of the chunk before, ``(1, 3, M, H, W)`` in ``[-1, 1]``; ``None``
    before the first chunk."""
    fingerprint: str = ""
    """Hash of the session's settings; a state is only continued with the same."""


@dataclass(frozen=True)
class FrameGroup:
    """New frames of a chunk that were decoded together."""

    frames: Tensor
    """``(3, f, H, W)`` float32 in ``[-1, 1]`` from :func:`generate_chunk`, ``(f, H, W, 3)`` uint8
    in host memory from a :class:`ChunkSource`."""
    state: SessionState | None = None
    """State of the session after the chunk; ``None`` unless this is the chunk's last group."""
    corner_px: tuple[int, int] = (0, 0)
    """Row and column of the whole frame where these pixels begin; the rest of it is on other
    ranks, and a rank may have no pixels."""


class ChunkSource(Protocol):
    """Generates the frames of one chunk after the other."""

    @property
    def chunk(self) -> ChunkConfig:
        """Arithmetic of a chunk."""
        ...

    @property
    def fingerprint(self) -> str:
        """Hash of everything that determines the image; a state is only continued with the same."""
        ...

    def generate(self, span: ChunkSpan, state: SessionState) -> Iterator[FrameGroup]:
        """Yield the chunk's new frames, ``(f, H, W, 3)`` uint8; the last have the next state."""
        ...
