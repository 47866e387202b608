"""Files that nodes wrote, so that a result that was deleted is made again."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from threading import Lock

MAX_NODES = 256
MAX_FILES = 64
"""Most files remembered of a node; the oldest goes first."""


class WrittenFiles:
    """A generation for each node, raised when a file that the node wrote is gone.

    ComfyUI may keep several results of a node, one for each seed for instance, and does not say
    which one a prompt asks for; so each of the files counts, not only the last one.
    """

    def __init__(self) -> None:
        """Start without nodes."""
        self._lock = Lock()
        self._generations: dict[str, int] = {}
        self._files: dict[str, list[Path]] = {}
        self._newest = 0
        self._of_forgotten = 0

    def add(self, node: str, path: Path) -> None:
        """Remember that ``node`` wrote ``path``."""
        with self._lock:
            # It must not change when others are forgotten.
            self._generations.setdefault(node, self._of_forgotten)
            files = [*self._files.pop(node, []), path]
            self._files[node] = files[-MAX_FILES:]
            while len(self._files) > MAX_NODES:
                oldest = next(iter(self._files))
                del self._files[oldest]
                self._generations.pop(oldest, None)
                # A forgotten node must not get a number that it has had.
                self._newest += 1
                self._of_forgotten = self._newest

    def generation(self, node: str) -> int:
        """Return a number that stays the same as long as all files of ``node`` are there."""
        with self._lock:
            files = self._files.get(node, [])
            left = [path for path in files if not _is_gone(path)]
            if len(left) < len(files):
                self._files[node] = left
                self._newest += 1
                self._generations[node] = self._newest
            return self._generations.get(node, self._of_forgotten)


@cache
def written_files() -> WrittenFiles:
    """Return the files of this process."""
    return WrittenFiles()


def _is_gone(path: Path) -> bool:
    """Return whether a file was deleted; one on a disk that does not answer may still be there."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False
