"""Styles that faces are drawn in: the one of training, and one that nothing is trained on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Generator, Tensor

from .faces import render, sample_identity
from .motion import FaceMotion, rest_motion
from .older.appearance import sample_older
from .older.faces import render_older


@dataclass(frozen=True)
class Style:
    """How faces of one style come about; a face is a tuple of tensors with ``to`` and ``pick``."""

    name: str
    sample: Callable[[int, Generator], Any]
    """Draws that many faces, on the CPU."""
    render: Callable[[Any, FaceMotion, tuple[int, int]], Tensor]
    """Draws every frame of every face, ``(B, F, 3, H, W)`` in ``[0, 1]``, of a size in pixels."""

    def portraits(self, faces: Any, size_px: tuple[int, int], **fields: float) -> Tensor:
        """Draw faces at rest but for ``fields`` of their motion, ``(B, 3, H, W)``."""
        motion = rest_motion(len(faces[0])).to(faces[0].device)
        changed = {name: getattr(motion, name) * 0 + value for name, value in fields.items()}
        return self.render(faces, motion._replace(**changed), size_px)[:, 0]


TRAINED = Style("trained", sample_identity, render)
"""What training draws."""
OLDER = Style("older", sample_older, render_older)
"""Older faces in ink and side light; nothing is trained on it."""
STYLES = {style.name: style for style in (TRAINED, OLDER)}
"""Styles by name."""
