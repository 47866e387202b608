"""The state of a session, a value that goes into a chunk and comes out of it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class SessionState:
    """Where a session stands. Loudness is measured over the whole file, so it is not part."""

    chunk_index: int = 0
    """Chunk to be generated next."""
    motion_frames: Tensor | None = None
    """Last corrected frames of the chunk before, ``(1, 3, M, H, W)`` in ``[-1, 1]``; ``None``
    before the first chunk."""
    fingerprint: str = ""
    """What the session was started with; a state is only continued under the same."""
