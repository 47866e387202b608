"""Finished renders, kept so that the same settings need not be rendered again."""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from ..log import printable_log

logger = printable_log(logging.getLogger(__name__))

_LEFTOVER_S = 3600
"""Unfinished copies older than this belong to no running program."""


class RenderStore:
    """A folder of videos by fingerprint, bounded in size; the one unused for longest goes first.

    Videos are hard links to the output where the disk allows it, so they take room only once the
    output is deleted.
    """

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        """Touch nothing yet.

        Args:
            folder: Where to keep videos; made when the first one is kept.
            limit_bytes: Most bytes of all videos together; with 0 nothing is looked up or kept,
                and what is there stays.
        """
        self._folder = folder
        self._limit_bytes = limit_bytes

    def find(self, key: str) -> Path | None:
        """Return the video kept under ``key``, ``None`` if there is none or it was changed."""
        if not self._limit_bytes:
            return None
        video, note = self._paths(key)
        try:
            is_unchanged = json.loads(note.read_text(encoding="utf-8")) == _stamp(video)
            if is_unchanged:
                note.touch()  # used just now
                return video
        except (ValueError, FileNotFoundError):
            pass
        except OSError:
            return None  # open elsewhere just now; it may be there the next time
        self.drop(key)
        return None

    def drop(self, key: str) -> None:
        """Forget the video under ``key``."""
        for path in self._paths(key):
            with suppress(OSError):
                path.unlink(missing_ok=True)

    def keep(self, key: str, video: Path) -> None:
        """Keep ``video`` under ``key``; a disk that is full or read-only only logs a warning."""
        if not self._limit_bytes:
            return
        try:
            if video.stat().st_size <= self._limit_bytes:
                self._keep(key, video)
        except OSError as error:
            logger.warning("%s is not kept for a later run: %s", video, error)
        self._shrink()

    def _keep(self, key: str, video: Path) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        kept, note = self._paths(key)
        copy = kept.with_suffix(".tmp")
        copy.unlink(missing_ok=True)
        try:
            _link_or_copy(video, copy)
            copy.replace(kept)
        finally:
            copy.unlink(missing_ok=True)
        unfinished = note.with_suffix(".json.tmp")
        unfinished.write_text(json.dumps(_stamp(kept)), encoding="utf-8")
        unfinished.replace(note)

    def _shrink(self) -> None:
        """Remove the videos unused for longest until the rest fits, and what a crash left."""
        for path in self._folder.glob("*.tmp"):
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > _LEFTOVER_S:
                    path.unlink()
        left = self._limit_bytes
        for key, size in self._by_last_use():
            left -= size
            if left < 0:
                self.drop(key)

    def _by_last_use(self) -> Iterator[tuple[str, int]]:
        found = []
        for video in self._folder.glob("*.mp4"):
            with suppress(OSError):
                note = self._paths(video.stem)[1]
                used_ns = note.stat().st_mtime_ns if note.exists() else 0
                found.append((used_ns, video.stem, video.stat().st_size))
        for _, key, size in sorted(found, reverse=True):
            yield key, size

    def _paths(self, key: str) -> tuple[Path, Path]:
        return self._folder / f"{key}.mp4", self._folder / f"{key}.json"


def _stamp(video: Path) -> list[int]:
    """Return size and time of change: a linked output that was edited is not the render."""
    status = video.stat()
    return [status.st_size, status.st_mtime_ns]


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk, or a file system without links
        shutil.copyfile(source, target)
