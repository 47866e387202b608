"""Cache of the last frames that the causal layers have seen."""

from __future__ import annotations

from torch import Tensor


class CausalCache:
    """Last frames seen by each causal layer of one clip.

    An empty cache means that the next frame is the first of a clip. Make one for each clip and
    pass it to every call; the model itself has no state.
    """

    def __init__(self) -> None:
        self._frames: dict[str, Tensor] = {}

    def read(self, layer: str) -> Tensor | None:
        """Return the frames stored for ``layer``, or ``None`` before its first call."""
        return self._frames.get(layer)

    def write(self, layer: str, frames: Tensor) -> None:
        """Store a copy of ``frames`` for ``layer``, so that the whole input can be freed."""
        self._frames[layer] = frames.clone()

    def put(self, layer: str, frames: Tensor) -> None:
        """Store ``frames`` for ``layer`` without a copy, if they were made for this."""
        self._frames[layer] = frames

    def entries(self) -> dict[str, Tensor]:
        """Return what is stored now, by layer."""
        return dict(self._frames)
