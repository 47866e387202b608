"""The file of results: a line of JSON for each row, written as rows end."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Self

from ..errors import FlashTalkError, InvalidInputError, OutputError
from ..excerpt import excerpt, is_text, reason, shown_path
from ..files.output_lock import lock_output
from ..files.whole_file import replacing, sync
from ..json_text import parse_json
from ..log import printable_log
from ..settings import read_plain
from .rows import Status

logger = printable_log(logging.getLogger(__name__))

SUFFIX = ".results.jsonl"


@dataclass(frozen=True, kw_only=True)
class RowResult:
    """How a row ended; the names are those in the file."""

    row: str
    """Number of the row in the manifest."""
    status: Status
    output: str | None = None
    """The video, relative to the folder of the results where it lies below it."""
    image: str | None = None
    audio: str | None = None
    seconds: float = 0.0
    """Time that the render took, loading included."""
    frames: int = 0
    """Frames of the video, or those that were rendered before it failed."""
    frames_resumed: int = 0
    """Those among them that an interrupted run had rendered."""
    frames_per_s: float = 0.0
    """Of the others."""
    error: str | None = None
    """Why it failed, one line."""
    fingerprint: str | None = None
    """Of all settings that decide the video."""
    num_bytes: int | None = None
    """Size of the video."""
    ended: str = ""
    """When, in UTC."""

    @property
    def key(self) -> str:
        """What a newer result of the same row replaces this one by."""
        return self.output or f"row {self.row}"

    def is_of(self, fingerprint: str, video: Path) -> bool:
        """Whether this says that ``video`` was rendered with these settings, and it is there."""
        if self.status != "done" or self.fingerprint != fingerprint:
            return False
        try:
            return video.is_file() and video.stat().st_size == self.num_bytes
        except OSError:
            return False


_NAMES = {each.name for each in fields(RowResult)}


class ResultFile:
    """Results of a batch by row; the newest of each row counts, and its last ``done`` is kept.

    What a program that was killed left half written is dropped. Use it with :meth:`opened`.
    """

    def __init__(self, path: Path) -> None:
        """Read what is there; nothing is written.

        Args:
            path: The file; it need not exist.

        Raises:
            OutputError: If it cannot be read.
        """
        self.path = path
        self._results: dict[str, RowResult] = {}
        self._done: dict[str, RowResult] = {}
        self._is_ragged = False
        self._read()

    def __len__(self) -> int:
        return len(self._results)

    def find(self, output: Path) -> RowResult | None:
        """Return the newest result of the row that writes ``output``."""
        return self._results.get(self.shown(output))

    def is_done(self, fingerprint: str, video: Path) -> bool:
        """Whether ``video`` was rendered with these settings, and is there.

        A later row that failed before it wrote anything does not change that.
        """
        last = self._done.get(self.shown(video))
        return last is not None and last.is_of(fingerprint, video)

    def confirm(self, output: Path) -> None:
        """Let the last ``done`` of a row be its newest result again.

        Raises:
            OutputError: If that cannot be written.
        """
        newest = self.find(output)
        if newest is not None and newest.status != "done":
            self.add(self._done[newest.key])

    def shown(self, path: Path) -> str:
        """Return a path as the file has it: a folder that is moved as a whole stays valid."""
        full, folder = (Path(os.path.normpath(each.absolute())) for each in (path, self.path))
        is_below = full.is_relative_to(folder.parent)
        return full.relative_to(folder.parent).as_posix() if is_below else str(full)

    def check_writable(self) -> None:
        """Check that results can be written, and leave nothing behind.

        Raises:
            OutputError: If they cannot.
        """
        try:
            if self.path.exists():
                with self.path.open("r+b"):
                    return
            with TemporaryFile(dir=self.path.parent):
                pass
        except OSError as error:
            raise _unusable(self.path, error) from error

    @contextmanager
    def opened(self) -> Iterator[Self]:
        """Hold the file, so that no other batch writes it; it is read again first.

        From here on a row has one line, and its last ``done`` another one where they differ.

        Raises:
            OutputError: If another batch holds it, or it cannot be read or written.
        """
        with ExitStack() as held:
            try:
                lock = self.path.with_name(f"{self.path.name}.lock")
                held.enter_context(lock_output(self.path, lock))
                self._read()
                self._compact()
            except OSError as error:
                raise _unusable(self.path, error) from error
            yield self

    def add(self, result: RowResult) -> None:
        """Write a result down at once.

        Raises:
            OutputError: If that fails.
        """
        self._note(result)
        try:
            with self.path.open("ab") as file:
                file.write(_line(result))
                file.flush()
                sync(file.fileno())
        except OSError as error:
            raise _unusable(self.path, error) from error

    def _read(self) -> None:
        self._results, self._done, self._is_ragged = {}, {}, False
        try:
            lines = self.path.read_bytes().split(b"\n") if self.path.exists() else []
        except OSError as error:
            raise _unusable(self.path, error) from error
        for line in lines[:-1]:
            self._take(line)
        if lines and lines[-1]:  # no line break at its end: half a line, or whole but for that
            self._is_ragged = True
            self._take(lines[-1])

    def _compact(self) -> None:
        """Leave the newest result of each row, and none of rows that never had a video's name.

        The next check tells those again, and may find them under other numbers.
        """
        named = {key: each for key, each in self._results.items() if each.output is not None}
        self._results = named
        if not self.path.exists():
            self.path.touch()
            return
        lines = b"".join(map(_line, self._lasting()))
        if self._is_ragged or lines != self.path.read_bytes():
            with replacing(self.path) as aside:
                aside.write_bytes(lines)
            self._is_ragged = False

    def _lasting(self) -> Iterator[RowResult]:
        for key, newest in self._results.items():
            done = self._done.get(key, newest)
            if done is not newest:
                yield done
            yield newest

    def _note(self, result: RowResult) -> None:
        self._results.pop(result.key, None)
        self._results[result.key] = result
        if result.status == "done":
            self._done[result.key] = result

    def _take(self, line: bytes) -> None:
        if not line.strip():
            return
        try:
            found = _read(line)
        except (ValueError, InvalidInputError) as error:
            shown = excerpt(line.decode(errors="replace"))
            logger.warning("%s: %s is no result (%s), left out", self.path, shown, reason(error))
            return
        self._note(found)


def results_path(manifest: Path) -> Path:
    """Return where the results of a manifest are: beside it."""
    return manifest.with_name(manifest.name + SUFFIX)


def _read(line: bytes) -> RowResult:
    """Read a line; names of later versions are ignored.

    Raises:
        ValueError: If it is no JSON object.
        InvalidInputError: If it lacks a name, or a value is of another type.
    """
    found: Any = parse_json(line)
    if not isinstance(found, dict):
        raise ValueError("no object")
    known = {name: value for name, value in found.items() if name in _NAMES}
    result: RowResult = read_plain(RowResult, known, "result")
    return result


def _line(result: RowResult) -> bytes:
    text = json.dumps(asdict(result), ensure_ascii=False)
    if not is_text(text):  # a name with bytes that are no text; escapes give it back as it is
        text = json.dumps(asdict(result))
    return text.encode() + b"\n"


def _unusable(path: Path, error: OSError) -> FlashTalkError:
    return OutputError(
        f"results {shown_path(path)}: cannot be written, {reason(error).lower()}; choose another "
        "place with --results"
    )
