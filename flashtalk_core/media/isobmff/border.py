"""The border at which boxes of an MP4 file are read."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from ...borders import library_border
from ...errors import InvalidInputError
from ...excerpt import shown_path


def box_border(path: Path) -> AbstractContextManager[None]:
    """Make one error of whatever damaged boxes lead to; what the system says passes through."""
    return library_border(
        lambda reason: InvalidInputError(
            f"video {shown_path(path)}: its index is damaged ({reason}); render it again"
        ),
        passing=(OSError,),
    )
