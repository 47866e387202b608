"""The interrupted renders of a folder."""

from __future__ import annotations

import logging
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..errors import InvalidInputError, OutputError
from ..excerpt import format_size
from ..files.output_lock import lock_output
from ..files.output_path import STATE_SUFFIX, OutputPath
from ..files.whole_file import remove_asides
from ..log import printable_log
from .record import JobRecord

_log = printable_log(logging.getLogger(__name__))

MAX_JOBS = 50
"""Most interrupted renders of a folder that can go on; beyond it, the oldest cannot any more."""
MAX_STATE_BYTES = 4_000_000_000
"""Most bytes of their state files, the same way. Videos are never removed."""


@dataclass(frozen=True)
class HalfJob:
    """An interrupted render."""

    output: OutputPath
    record: JobRecord | None
    """``None`` if its state file is damaged, or of another version."""
    problem: str = ""
    """Why there is none."""

    @property
    def num_bytes(self) -> int:
        """Bytes of its files on the disk."""
        return sum(map(_size_of, self.files))

    @property
    def is_extension(self) -> bool:
        """Whether it takes its audio from a file that goes with it."""
        speakers = () if self.record is None else self.record.spec.speakers
        return any(each.audio and _is_same(each.audio, self.output.audio) for each in speakers)

    @property
    def files(self) -> list[Path]:
        """Its files, whether they are there or not."""
        output = self.output
        audio = [output.audio] if self.is_extension else []
        return [output.state, output.partial, output.finishing, *audio]


def list_jobs(folder: Path) -> list[HalfJob]:
    """Return the interrupted renders of a folder, and those that run, by name.

    Raises:
        OSError: If the folder cannot be read.
    """
    return [_read(path) for path in sorted(_states(folder))]


def find_job(output: OutputPath) -> HalfJob | None:
    """Return the interrupted render of ``output``, ``None`` if there is none."""
    return _read(output.state) if output.state.is_file() else None


def find_interrupted(folder: Path, keys: Collection[str]) -> OutputPath | None:
    """Return the newest interrupted render of a folder with one of these keys, if none runs now.

    Args:
        folder: Where to look; one that is not there has none.
        keys: Hashes of everything that determines the video; see :func:`.job.resumable_keys`.
    """
    found = [job for job in list_jobs(folder) if job.record and job.record.key in keys]
    found.sort(key=lambda job: -_saved_s(job))
    return next((job.output for job in found if is_free(job.output)), None)


def remove_job(job: HalfJob) -> None:
    """Remove an interrupted render, what was rendered included.

    Raises:
        OutputError: If it runs at this moment.
        OSError: If a file cannot be removed.
    """
    output = job.output
    with lock_output(output.final, output.lock):
        for path in job.files:
            path.unlink(missing_ok=True)
        remove_asides(output.state)


def limit_jobs(own: Path, max_jobs: int = MAX_JOBS, max_state_bytes: int = MAX_STATE_BYTES) -> None:
    """Remove the oldest states of a folder beyond the limits, and say so; videos stay.

    Args:
        own: State of the render that asks. It stays, as those of other renders that run do.
        max_jobs: Most states, that one included.
        max_state_bytes: Most bytes of them.
    """
    with suppress(OSError):
        found = {path: path.stat() for path in _states(own.parent)}
        newest_first = sorted(found, key=lambda path: (path != own, -found[path].st_mtime))
        num_kept, kept_bytes = 0, 0
        for path in newest_first:
            size = found[path].st_size
            too_many, too_large = num_kept >= max_jobs, kept_bytes + size > max_state_bytes
            if (too_many or too_large) and path != own and _remove_free(path):
                limit = f"{max_jobs} are" if too_many else f"{format_size(max_state_bytes)} is"
                _log.warning(
                    "%s: removed, %d later renders of this folder are interrupted as well, with "
                    "states of %s, and %s kept; what was rendered stays, and plays, but cannot go "
                    "on",
                    path,
                    num_kept,
                    format_size(kept_bytes),
                    limit,
                )
            else:
                num_kept, kept_bytes = num_kept + 1, kept_bytes + size


def _remove_free(state: Path) -> bool:
    """Remove the state of a render that does not run; return whether that was done."""
    output = _output_of(state)
    try:
        with lock_output(output.final, output.lock):
            state.unlink(missing_ok=True)
    except (OutputError, OSError):
        return False
    return True


def _saved_s(job: HalfJob) -> int:
    return job.record.saved_s if job.record else 0


def is_free(output: OutputPath) -> bool:
    """Return whether no render of an output runs; a lock that a killed one left is removed."""
    try:
        with lock_output(output.final, output.lock):
            return True
    except (OutputError, OSError):
        return False


def _states(folder: Path) -> list[Path]:
    return [path for path in folder.glob(f"*{STATE_SUFFIX}") if path.is_file()]


def _output_of(state: Path) -> OutputPath:
    return OutputPath(state.with_name(f"{state.name.removesuffix(STATE_SUFFIX)}.mp4"))


def _read(path: Path) -> HalfJob:
    output = _output_of(path)
    try:
        return HalfJob(output, JobRecord.read(path, with_frames=False))
    except (InvalidInputError, OSError) as error:
        return HalfJob(output, None, str(error))


def _is_same(name: str, path: Path) -> bool:
    try:
        return path.samefile(name)
    except (OSError, ValueError):  # one is missing, or is no name that the system takes
        return False


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
