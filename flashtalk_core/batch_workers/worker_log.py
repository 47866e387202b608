"""What a process writes to standard error: nothing of it stays, unless it is asked for."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from tempfile import TemporaryFile, mkstemp

from ..errors import WorkerError
from ..excerpt import excerpt, reason

_TAIL_BYTES = 4096


class WorkerLog:
    """A file without a name, which is gone with the batch however that ends."""

    def __init__(self) -> None:
        """Make it.

        Raises:
            WorkerError: If that fails.
        """
        try:
            self._file = TemporaryFile()  # noqa: SIM115 - closed by close()
        except OSError as error:
            raise WorkerError(
                f"no process starts, its log cannot be made: {reason(error)}; set TMPDIR to a "
                "folder you may write to, with space"
            ) from error

    def fileno(self) -> int:
        """Return its descriptor, for the process."""
        return self._file.fileno()

    def last_line(self) -> str:
        """Return what was written last, in short; empty if nothing was."""
        with suppress(OSError, ValueError):
            end = self._file.seek(0, os.SEEK_END)
            self._file.seek(max(0, end - _TAIL_BYTES))
            lines = self._file.read().decode("utf-8", "replace").strip().splitlines()
            return excerpt(lines[-1], 160) if lines else ""
        return ""

    def keep(self) -> str:
        """Copy it to a file with a name, which is returned; empty if that fails.

        The process has ended: it would write from where this reads to.
        """
        try:
            number, name = mkstemp(prefix="flashtalk-batch-", suffix=".log")
            with os.fdopen(number, "wb") as kept:
                self._file.seek(0)
                shutil.copyfileobj(self._file, kept)
        except (OSError, ValueError):
            return ""
        return name

    def close(self) -> None:
        """Let it go."""
        self._file.close()
