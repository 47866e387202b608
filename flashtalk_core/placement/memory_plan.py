"""How much of a model stays on its device, and in which dtype: the request, and the plan."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal, cast, get_args

from ..acceleration.kernel_options import GraphMode
from ..errors import InvalidInputError, require
from ..excerpt import excerpt

Mode = Literal["auto", "resident", "offload"]
MODES = ("auto", "resident", "float8", "offload", "float8-offload")
"""What a user may write. Those with ``float8`` are ``offload`` with FP8."""


@dataclass(frozen=True, kw_only=True)
class MemoryPlan:
    """What stays on the device, and in which form."""

    float8: bool = False
    """Large linear layers of the transformer in FP8."""
    packed: bool = False
    """Linear layers of the transformer's blocks as the file has them, unpacked for each product;
    never with ``float8``. Results are those of unpacked weights, to the bit."""
    num_resident: int | None = None
    """Transformer blocks that stay resident; weights used once a session or a chunk are offloaded
    to the host. ``None``: all of it is resident."""
    row_tiles: bool = False
    """Decode and encode the image one row tile at a time."""
    graph: GraphMode = "off"
    """Which steps become CUDA graphs, where the device has room for them."""
    peak_bytes: int = 0
    """Upper estimate of the device memory that it takes; 0 where it was not counted."""
    reason: str = field(default="", repr=False)
    """One line for users."""


WHOLE = MemoryPlan()


@dataclass(frozen=True)
class MemoryChoice:
    """What a user requested."""

    mode: Mode = "auto"
    """Resident are with ``auto`` what fits, ``resident`` all, ``offload`` as many blocks as fit."""
    num_resident: int | None = None
    """Resident blocks; ``None`` is as many as fit."""
    float8: bool | None = None
    """Whether large linear layers of the transformer are in FP8. ``None`` leaves that to
    the size of the card where the mode is ``auto``, and means no in other modes."""

    def __post_init__(self) -> None:
        modes = get_args(Mode)
        require(
            self.mode in modes,
            f"memory {excerpt(self.mode)!r}: use one of {', '.join(modes)}",
            subject="memory",
        )
        require(
            self.num_resident is None or (self.num_resident >= 0 and self.mode == "offload"),
            _no_count(f"{self.mode}:{excerpt(self.num_resident)}"),
            subject="memory",
        )

    def __str__(self) -> str:
        """Return how a user may write it; FP8 that has no mode of its own after a comma."""
        if self.mode == "offload":
            if not self.float8:
                return "offload" + self._count
            return "float8-offload" + self._count if self._count else "float8"
        if self.float8:
            return f"{self.mode}, FP8"
        return "auto, no FP8" if self.mode == "auto" and self.float8 is False else self.mode

    @property
    def _count(self) -> str:
        return "" if self.num_resident is None else f":{self.num_resident}"

    @classmethod
    def parse(cls, text: str, *, float8: bool = False) -> MemoryChoice:
        """Read one of :data:`MODES`, or one and a number of blocks such as ``offload:12``.

        Args:
            text: What was written.
            float8: Whether FP8 was requested by another option.
        """
        mode, colon, count = text.partition(":")
        if colon and not re.fullmatch(r"\d{1,9}", count):
            raise InvalidInputError(
                f"memory {excerpt(text)!r}: no number of blocks after the colon; write for example "
                "offload:12",
                subject="memory",
            )
        require(
            mode in MODES,
            f"memory {excerpt(mode)!r}: use one of {', '.join(MODES)}",
            subject="memory",
        )
        require(not colon or "offload" in mode, _no_count(excerpt(text)), subject="memory")
        float8 = float8 or mode.startswith("float8")
        kind = cast("Mode", "offload" if mode.startswith("float8") else mode)
        return cls(kind, int(count) if colon else None, float8 or None)


def _no_count(shown: str) -> str:
    return (
        f"memory {shown}: a number of blocks, 0 or more, goes with 'offload' and 'float8-offload' "
        "only"
    )
