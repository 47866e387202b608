"""Names of the files of one render, and proof that they can be written."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from pathlib import Path

from ..errors import OutputError
from ..excerpt import excerpt
from ..paths import shown_path
from .output_lock import lock_output, remove_stale_locks

_LOCK_SUFFIX = ".partial.lock"
_REMEDIES = {
    errno.ENOSPC: "free some space or choose another disk",
    errno.EDQUOT: "free some of your quota or choose another disk",
    errno.EFBIG: "raise the file size limit (ulimit -f) or choose another disk",
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
        return self.final.with_name(f"{self.final.stem}.partial.mp4")

    @property
    def finishing(self) -> Path:
        """The finished file until it is complete."""
        return self.final.with_name(f"{self.final.stem}.finishing.partial.mp4")

    @property
    def lock(self) -> Path:
        """What a render holds locked while it writes."""
        return self.final.with_name(f"{self.final.stem}{_LOCK_SUFFIX}")


def check_output(path: str | Path) -> OutputPath:
    """Prove that a video can be written as ``path``; call it before anything expensive.

    Nothing is left behind, and existing files keep what is in them. Locks in the same folder that
    a killed render left are removed; its partial file stays, since it plays.

    Raises:
        OutputError: If the name does not end in ``.mp4``, is a folder, its folder is missing or
            cannot be written to, the name is too long, or another render is writing it.
    """
    final = Path(path)
    if final.suffix.lower() != ".mp4":
        raise OutputError(
            f"output {shown_path(final)}: '{excerpt(final.suffix, 20)}' is not written; use a name "
            "in .mp4"
        )
    output = OutputPath(final)
    try:
        if final.is_dir():
            raise OutputError(f"output {shown_path(final)}: this is a folder; add a file name")
        if not final.parent.is_dir():
            raise OutputError(
                f"output {shown_path(final)}: no folder {shown_path(final.parent)}; create it first"
            )
        with lock_output(final, output.lock):
            for name in (output.partial, output.finishing):
                _check_writable(name)
        remove_stale_locks(final.parent, f"*{_LOCK_SUFFIX}")
    except OSError as error:
        raise OutputError(
            f"output {shown_path(final)}: cannot be written, {reason(error)}; {remedy(error)}"
        ) from error
    return output


def _check_writable(path: Path) -> None:
    existed = path.exists()
    # Appending changes nothing in a file that is there, and root cannot fool it.
    with path.open("ab"):
        pass
    if not existed:
        path.unlink()


def fault_line(final: Path, partial: Path, size: int, is_playable: bool, error: Exception) -> str:
    """Say in one line why writing stopped, how far it came, what helps and what is left."""
    rest = f"what was rendered is in {partial}" if is_playable else "nothing that plays is left"
    how = f"writing stopped after {size} bytes, {reason(error)}"
    return f"output {shown_path(final)}: {how}; {remedy(error)}; {rest}"


def reason(error: Exception) -> str:
    """Return what went wrong as one line in small letters."""
    return " ".join((getattr(error, "strerror", None) or str(error)).split()).lower()


def remedy(error: Exception) -> str:
    """Return what helps against it."""
    return _REMEDIES.get(getattr(error, "errno", None) or 0, "choose another folder")
