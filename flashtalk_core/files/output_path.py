"""Names of the files of one render, and proof that they can be written."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from ..errors import OutputError, require
from ..excerpt import excerpt, reason, shown_path
from .output_lock import check_own_place, lock_output, remove_stale_locks
from .paths import is_file
from .whole_file import create, is_open_elsewhere, written_target

_LOCK_SUFFIX = ".partial.lock"
_PARTIAL_SUFFIX = ".partial.mp4"
_FINISHING_SUFFIX = ".partial.finishing.mp4"
_AUDIO_SUFFIX = ".partial.wav"
STATE_SUFFIX = ".partial.state"
"""Of the file that says how far a render has come."""
OLDER_START, _OLDER_REST = ".partial.older", re.compile(r"(?:-([0-9]+))?\.mp4")
"""In the names of what stopped renders saved and later ones put aside; and what follows."""
# None of these names is one that an output may have, on disks that do not distinguish letters
# either; so the files of one render are never those of another.
_RESERVED = re.compile(r"\.partial(\.finishing|\.older(-\d+)?)?\.[^.]+$", re.IGNORECASE)
_ON_THE_WAY = re.compile(r"(.+)\.partial(?:(?:\.finishing|\.older(?:-[0-9]+)?)?\.mp4|\.wav)")
_REMEDIES = {
    errno.ENOSPC: "free some space or choose another disk",
    errno.EDQUOT: "free some of your quota or choose another disk",
    errno.EFBIG: "raise the file size limit (ulimit -f) or choose another disk",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.EROFS: "choose a folder on a disk that is not read-only",
    errno.EACCES: "choose a folder you may write to",
    errno.EPERM: "choose a folder you may write to",
    errno.ENAMETOOLONG: "choose a shorter name",
}


@dataclass(frozen=True)
class OutputPath:
    """Final name of a video and the names used on the way to it."""

    final: Path

    @property
    def partial(self) -> Path:
        """What is written while rendering; playable at any time."""
        return self.final.with_name(f"{self.final.stem}{_PARTIAL_SUFFIX}")

    @property
    def finishing(self) -> Path:
        """The finished file until it is complete."""
        return self.final.with_name(f"{self.final.stem}{_FINISHING_SUFFIX}")

    @property
    def state(self) -> Path:
        """How far a render that is not complete has come."""
        return self.final.with_name(f"{self.final.stem}{STATE_SUFFIX}")

    @property
    def audio(self) -> Path:
        """Audio of an extended video, as long as the whole, while that is rendered."""
        return self.final.with_name(f"{self.final.stem}{_AUDIO_SUFFIX}")

    @property
    def lock(self) -> Path:
        """What a render holds locked while it writes."""
        return self.final.with_name(f"{self.final.stem}{_LOCK_SUFFIX}")

    @property
    def older(self) -> list[Path]:
        """What earlier renders that were stopped saved and later ones put aside, by number.

        Numbers are missing where a newer file has taken the place of one.
        """
        start = f"{self.final.stem}{OLDER_START}"
        found: list[tuple[int, Path]] = []
        with suppress(OSError):  # a folder may let files be written and not be listed
            for path in self.final.parent.iterdir():
                rest = path.name.removeprefix(start)
                number = _OLDER_REST.fullmatch(rest) if rest != path.name else None
                if number is not None:
                    found.append((int(number[1] or 1), path))
        return [path for _, path in sorted(found)]

    @property
    def next_older(self) -> Path:
        """Name under which a partial file is put aside."""
        names = map(self._older_name, count(1))
        return next(path for path in names if not os.path.lexists(path))

    @property
    def written(self) -> list[Path]:
        """Every file that a render writes, renames or removes."""
        names = self.partial, self.finishing, self.state, self.audio, self.lock
        return [self.final, *names, *self.older]

    def _older_name(self, number: int) -> Path:
        name = f"{self.final.stem}{OLDER_START}{f'-{number}' if number > 1 else ''}.mp4"
        return self.final.with_name(name)


def check_suffix(path: Path) -> None:
    """Check that a name is one of an MP4 file.

    Raises:
        OutputError: If it is not.
    """
    if path.suffix.lower() == ".mp4":
        return
    if path.is_dir():
        why = "this is a folder; add a file name"
    elif not path.suffix:
        why = "it has no ending; add .mp4"
    else:
        why = f"'{excerpt(path.suffix, 20)}' is not written; use a name in .mp4"
    raise OutputError(f"output {shown_path(path)}: {why}")


def output_of(path: Path) -> OutputPath | None:
    """Return the output that a file on the way to a video is of; ``None`` if it is none."""
    found = _ON_THE_WAY.fullmatch(path.name)
    return OutputPath(path.with_name(f"{found[1]}.mp4")) if found else None


def check_name(path: Path) -> None:
    """Refuse a name that a render gives to a file on the way to another video.

    Raises:
        OutputError: If it is one.
    """
    if _RESERVED.search(path.name):
        raise OutputError(
            f"output {shown_path(path)}: names that end like this belong to unfinished renders of "
            "another video; leave '.partial' out of the name"
        )


def output_target(path: str | Path) -> Path:
    """Return the file that a video named ``path`` is written to: what a link names.

    Raises:
        OutputError: If the name is not free for a video, or is no place for a file.
        OSError: If links name each other, or the system does not take the name.
    """
    path = Path(path)
    check_name(path)
    target = written_target(path)
    check_name(target)
    if target.is_dir():
        raise OutputError(f"output {shown_path(path)}: this is a folder; add a file name")
    if target.exists() and not target.is_file():
        raise OutputError(
            f"output {shown_path(path)}: this is a pipe or a device, and an MP4 is not written in "
            "one go; name a file"
        )
    if not target.parent.is_dir():
        raise OutputError(
            f"output {shown_path(path)}: no folder {shown_path(target.parent)}; create it first"
        )
    return target


def check_output(path: str | Path) -> OutputPath:
    """Prove that a video can be written as ``path``; call it before anything expensive.

    Nothing is left behind, and existing files keep their contents. Locks in the same folder that
    a killed render left are removed; its partial file stays, since it plays.

    Returns:
        The names: those of the file that ``path`` names, if it is a link.

    Raises:
        OutputError: If the name does not end in ``.mp4``, is a folder, its folder is missing or
            cannot be written to, the name is too long or one that another render may use, what is
            no plain file is in the place of one, or another render is writing it.
    """
    path = Path(path)
    check_suffix(path)
    try:
        output = OutputPath(output_target(path))
        with lock_output(output.final, output.lock):
            for name in (output.partial, output.finishing):
                _check_writable(output.final, name)
        remove_stale_locks(output.final.parent, f"*{_LOCK_SUFFIX}")
    except OSError as error:
        raise unwritable(path, error) from error
    return output


def check_spared(
    output: OutputPath, sources: Iterable[Path], written: Iterable[Path] | None = None
) -> None:
    """Check that a render replaces and removes none of the files that it is made from.

    Args:
        output: Of the render.
        sources: Files that it is made from.
        written: ``output.written`` where it is known already: the folder is looked through for it.

    Raises:
        InvalidInputError: If it would.
    """
    taken = [path for path in (output.written if written is None else written) if path.exists()]
    for source in filter(is_file, sources):
        require(
            not any(path.samefile(source) for path in taken),
            f"output {shown_path(output.final)}: {shown_path(source)} would be overwritten; choose "
            "another name",
            subject="output",
        )


def _check_writable(final: Path, path: Path) -> None:
    """Make a file and remove it, or see that the one that is there can be written to.

    Raises:
        OSError: If that fails.
        OutputError: If something else is there.
    """
    if not check_replaceable(final, path):
        os.close(create(path))
        path.unlink()


def check_replaceable(final: Path, path: Path) -> bool:
    """See that the file that is there can be written to; return whether one is.

    Raises:
        OSError: If it cannot, or the system does not take its name.
        OutputError: If something else is there.
    """
    try:
        check_own_place(final, path)
        # Nothing changes in it, and root cannot fool it.
        with path.open("r+b"):
            return True
    except FileNotFoundError:
        return False


def error_line(final: Path, partial: Path, size: int, is_playable: bool, error: Exception) -> str:
    """Return in one line why writing stopped, how far it came, what helps and what is left."""
    rest = f"what was rendered is in {partial}" if is_playable else "nothing that plays is left"
    how = f"writing stopped after {size} bytes, {reason(error).lower()}"
    return f"output {shown_path(final)}: {how}; {_remedy(error)}; {rest}"


def unwritable(path: Path, error: Exception) -> OutputError:
    """Return what to raise for a file that the system does not let be written."""
    how = f"cannot be written, {reason(error).lower()}"
    return OutputError(f"output {shown_path(path)}: {how}; {_remedy(error)}")


def _remedy(error: Exception) -> str:
    if is_open_elsewhere(error):
        return "another program may have it open; close it and run the same command"
    return _REMEDIES.get(getattr(error, "errno", None) or 0, "choose another folder")
