"""Finished renders, kept so that the same settings need not be rendered again."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

logger = logging.getLogger(__name__)


class RenderStore:
    """A folder of videos by fingerprint, bounded in size; the one unused for longest goes first.

    Videos are hard links to the output where the disk allows it, so they take room only once the
    output is deleted.
    """

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        """Touch nothing yet.

        Args:
            folder: Where to keep videos; made when the first one is kept.
            limit_bytes: Most bytes of all videos together; 0 keeps none.
        """
        self._folder = folder
        self._limit_bytes = limit_bytes

    def find(self, key: str) -> Path | None:
        """Return the video kept under ``key``, ``None`` if there is none or it was changed."""
        video, note = self._paths(key)
        try:
            stamp = json.loads(note.read_text(encoding="utf-8"))
            if self._limit_bytes and stamp == _stamp(video):
                note.touch()  # used just now
                return video
        except (OSError, ValueError):
            pass
        self._remove(key)
        return None

    def keep(self, key: str, video: Path) -> None:
        """Keep ``video`` under ``key``; a disk that is full or read-only only logs a warning."""
        if video.stat().st_size <= self._limit_bytes:
            try:
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
        """Remove the videos unused for longest until the rest fits."""
        left = self._limit_bytes
        for key, size in self._by_last_use():
            left -= size
            if left < 0:
                self._remove(key)

    def _by_last_use(self) -> Iterator[tuple[str, int]]:
        found = []
        for video in self._folder.glob("*.mp4"):
            with suppress(OSError):
                note = self._paths(video.stem)[1]
                used_ns = note.stat().st_mtime_ns if note.exists() else 0
                found.append((used_ns, video.stem, video.stat().st_size))
        for _, key, size in sorted(found, reverse=True):
            yield key, size

    def _remove(self, key: str) -> None:
        for path in self._paths(key):
            with suppress(OSError):
                path.unlink(missing_ok=True)

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
