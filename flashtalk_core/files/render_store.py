"""Finished renders, stored so that the same settings need not be rendered again."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress
from io import BufferedReader
from pathlib import Path

from ..files.whole_file import remove_leftover
from ..json_text import parse_json
from ..log import printable_log

logger = printable_log(logging.getLogger(__name__))

_LONGEST_NOTE_BYTES = 1024


class RenderStore:
    """A folder of videos by fingerprint, bounded in size; the one unused for longest goes first.

    Videos are hard links to the output where the disk allows it, so they take room only once the
    output is deleted. A note next to each says how large it is and what its bytes hash to: a disk
    may rot, and whoever edits the output edits the stored render as well. So a file is read once
    when it is stored and once when it is used again, at 0.7 GB a second of one CPU core or more.
    Links in the folder are never followed.
    """

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        """Touch nothing yet.

        Args:
            folder: Where to store videos; made when the first one is stored.
            limit_bytes: Most bytes of all videos together; with 0 nothing is looked up or stored,
                and what is there stays.
        """
        self._folder = folder
        self._limit_bytes = limit_bytes

    def find(self, key: str) -> Path | None:
        """Return the video stored under ``key``, ``None`` if there is none or it was changed."""
        if not self._limit_bytes:
            return None
        video, note = self._paths(key)
        try:
            if _read_note(note) == _summary(video):
                with suppress(OSError):
                    os.utime(note)  # used just now
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

    def store(self, key: str, video: Path) -> None:
        """Store ``video`` under ``key``; where that fails, as on a full disk, only log it."""
        if not self._limit_bytes:
            return
        try:
            if video.stat().st_size <= self._limit_bytes:
                self._store(key, video)
            self._shrink()
        except Exception as error:  # the video is written, and nothing else was asked for
            logger.warning("%s is not stored for a later run: %s", video, error)

    def _store(self, key: str, video: Path) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        stored, note = self._paths(key)
        copy = stored.with_suffix(".tmp")
        copy.unlink(missing_ok=True)
        try:
            _link_or_copy(video, copy)
            copy.replace(stored)
        finally:
            copy.unlink(missing_ok=True)
        unfinished = note.with_suffix(".json.tmp")
        unfinished.unlink(missing_ok=True)
        with unfinished.open("x", encoding="utf-8") as file:
            json.dump(_summary(stored), file)
        unfinished.replace(note)

    def _shrink(self) -> None:
        """Remove the videos unused for longest until the rest fits, and what a crash left."""
        for path in self._folder.glob("*.tmp"):
            remove_leftover(path)
        left = self._limit_bytes
        for key, size in self._by_last_use():
            left -= size
            if left < 0:
                self.drop(key)

    def _by_last_use(self) -> Iterator[tuple[str, int]]:
        found = []
        for video in self._folder.glob("*.mp4"):
            with suppress(OSError):
                note, used_ns = self._paths(video.stem)[1], 0
                with suppress(FileNotFoundError):
                    used_ns = note.lstat().st_mtime_ns
                found.append((used_ns, video.stem, video.lstat().st_size))
        for _, key, size in sorted(found, reverse=True):
            yield key, size

    def _paths(self, key: str) -> tuple[Path, Path]:
        return self._folder / f"{key}.mp4", self._folder / f"{key}.json"


def _read_note(note: Path) -> object:
    """Return what a note says, whatever that is.

    Raises:
        ValueError: If it is none.
        OSError: If it cannot be read.
    """
    with _open_own(note) as file:
        return parse_json(file.read(_LONGEST_NOTE_BYTES))


def _summary(video: Path) -> list[object]:
    """Return size and SHA-256 of a video.

    Raises:
        ValueError: If it is no plain file.
        OSError: If it cannot be read.
    """
    with _open_own(video) as file:
        return [os.fstat(file.fileno()).st_size, hashlib.file_digest(file, "sha256").hexdigest()]


def _open_own(path: Path) -> BufferedReader:
    """Open a plain file, but neither what a link leads to nor a pipe, which might never end."""
    if not stat.S_ISREG(path.lstat().st_mode):
        raise ValueError(f"{path}: no plain file")
    # Each of the two is missing on some system.
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
    return os.fdopen(os.open(path, flags), "rb")


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk, or a file system without links
        shutil.copyfile(source, target)
