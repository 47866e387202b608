"""What a reader must not do with an input, whatever is in it: watched while it reads.

Python tells its audit hooks of every file that is opened or changed, of processes and of
connections. What C libraries open by themselves is not seen here; which of their formats may open
files at all is tested with the readers.
"""

import contextlib
import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
_STARTS = (
    "os.system", "os.exec", "os.fork", "os.forkpty", "os.spawn", "os.posix_spawn", "pty.spawn",
    "subprocess.Popen", "socket.connect", "socket.bind", "webbrowser.open",
)  # fmt: skip
_CHANGES = (
    "os.remove", "os.rename", "os.link", "os.symlink", "os.mkdir", "os.rmdir", "os.truncate",
    "os.chmod", "os.chown", "os.utime", "shutil.rmtree", "shutil.move",
)  # fmt: skip
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_SYSTEM = ("/proc", "/sys", "/usr", "/lib", "/etc", "/dev/null", "/dev/urandom")
"""What Python and the libraries read for themselves; no input of the fuzzers names a file there
that could be read as what it is to be."""


class EscapeError(Exception):
    """A reader was about to leave its folder, or to run something."""


class Watch:
    """Refuses, and notes, what a reader must not do; active only within :meth:`inside`."""

    def __init__(self):
        self.escapes = []
        self._folder = None
        self._readable = ()
        sys.addaudithook(self._heard)

    @contextlib.contextmanager
    def inside(self, folder, *, reads_any=False):
        """Let only ``folder`` be written, and only it, the project and Python be read.

        Args:
            folder: The one.
            reads_any: Whether any file may be read, since inputs name files.
        """
        own = [str(ROOT), sys.prefix, sys.base_prefix, *filter(None, sys.path), *_SYSTEM]
        own += [os.sep] * reads_any
        self._readable = tuple(os.path.realpath(each) for each in (folder, *own))
        self._folder = os.path.realpath(folder)
        try:
            yield self
        finally:
            self._folder = None

    def _heard(self, event, args):
        if self._folder is None:
            return
        found = ""
        if event in _STARTS:
            found = event
        elif event == "open":
            found = self._opened(*args)
        elif event in _CHANGES:
            paths = [each for each in args[:2] if isinstance(each, str | bytes | os.PathLike)]
            # A link is removed or renamed itself; what one leads to may lie anywhere.
            paths = paths[1:] if event in ("os.symlink", "os.link") else paths
            outside = [each for each in paths if not _is_in(_itself(each), (self._folder,))]
            found = f"{event} {outside[0]!r}" if outside else ""
        if found:
            self.escapes.append(found)
            raise EscapeError(found)

    def _opened(self, path, mode, flags):
        if not isinstance(path, str | bytes | os.PathLike):
            return ""  # an open file
        is_written = bool(flags & _WRITING) or any(each in (mode or "") for each in "wax+")
        allowed = (self._folder,) if is_written else self._readable
        try:
            is_allowed = _is_in(_place(path), allowed)
        except ValueError:  # a name that no system takes
            is_allowed = True
        if is_allowed or path in ("/dev/null", b"/dev/null"):
            return ""
        return f"{'written' if is_written else 'read'}: {path!r}"


def _itself(path):
    """Return the place of what is at ``path``, of a link its own."""
    folder, name = os.path.split(os.fsdecode(path))
    return os.path.join(os.path.realpath(folder), name)  # noqa: PTH118 (a path of any form)


def _place(path):
    return os.path.realpath(os.fsdecode(path))


def _is_in(place, folders):
    return any(place == each or place.startswith(each.rstrip(os.sep) + os.sep) for each in folders)
