"""How much of a model stays on its device, and in which number format."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class MemoryPlan:
    """What stays on the device, and in which form."""

    float8: bool = False
    """Large linear layers of the transformer in 8-bit floats."""
    num_resident: int | None = None
    """Transformer blocks that stay on the device; what is used once a session or a chunk waits
    on the host. ``None``: all of it stays."""
    slabs: bool = False
    """Decode and encode the picture some rows at a time."""
    peak_bytes: int = 0
    """What that takes of the device, as an estimate from above; 0 where it was not counted."""
    reason: str = field(default="", repr=False)
    """One line for people."""


WHOLE = MemoryPlan()
