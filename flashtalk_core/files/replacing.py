"""Files that are there whole or not at all, with errors for whoever asked for them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import OutputError
from ..excerpt import reason, shown_path
from . import whole_file


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Provide a temporary file in the folder of ``path``; it replaces ``path`` at the end.

    Raises:
        OutputError: If it cannot be written; see :func:`whole_file.replacing`.
    """
    try:
        with whole_file.replacing(path) as temporary:
            yield temporary
    except OSError as error:
        raise OutputError(
            f"{shown_path(path)}: cannot be written ({reason(error)}); check the folder and the "
            "disk"
        ) from error
