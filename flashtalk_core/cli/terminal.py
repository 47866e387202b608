"""Standard streams and signals while a command runs."""

from __future__ import annotations

import errno
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn, TextIO

from ..errors import OutputError
from ..excerpt import reason
from ..log import printable_lines

_USUAL_WIDTH = 80
_MAX_REMEMBERED = 1000
"""Most warnings that are remembered, so that each is shown once."""


class _LineFormatter(logging.Formatter):
    """Messages as sentences; only warnings and worse say what they are."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as text that steers no terminal, whatever it quotes."""
        text = printable_lines(super().format(record))
        if record.levelno == logging.DEBUG:
            return f"debug: {record.name}: {text}"
        return text if record.levelno == logging.INFO else f"{record.levelname.lower()}: {text}"


class _LineHandler(logging.StreamHandler[TextIO]):
    """Writes lines over a progress bar, which redraws itself below them; a warning once."""

    def __init__(self, stream: TextIO) -> None:
        """Remember no warnings yet."""
        super().__init__(stream)
        self._shown: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record, unless it is a warning that was shown: a file is read several times."""
        with suppress(Exception):
            if record.levelno == logging.WARNING and self._was_shown(record.getMessage()):
                return
        super().emit(record)

    def _was_shown(self, text: str) -> bool:
        was_shown = text in self._shown
        if len(self._shown) < _MAX_REMEMBERED:
            self._shown.add(text)
        return was_shown

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as a line that hides what the line held before."""
        text = super().format(record)
        return f"\r{text.ljust(79)}" if is_terminal(self.stream) else text

    def handleError(self, record: logging.LogRecord) -> None:
        """Go on: the stream for error messages is the one that cannot be written."""

    def flush(self) -> None:
        """Write what is held back; Python asks for it once more at its end."""
        with suppress(Exception):
            super().flush()


def write_message(stream: TextIO | None, text: str) -> None:
    """Write ``text`` for the user to see; where that fails, the work goes on.

    A pipe may have no reader, a log may lie on a full disk, and a program without a
    terminal has no standard error at all.
    """
    if stream is None:
        return
    with suppress(Exception):  # the border between the work and those who watch it
        stream.write(text)
        stream.flush()


def is_terminal(stream: TextIO | None) -> bool:
    """Whether ``stream`` is shown on a terminal at this moment."""
    try:
        return stream is not None and stream.isatty()
    except Exception:  # the border between the work and those who watch it
        return False


def terminal_width(stream: TextIO | None) -> int:
    """Return the columns of the terminal that shows ``stream``; 80 where that is not known."""
    try:
        columns = 0 if stream is None else os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError, AttributeError):  # no terminal, or a stream without a file
        columns = 0
    return columns if columns > 1 else _USUAL_WIDTH


def write_out(text: str) -> None:
    """Write lines to standard output; what they quote from outside steers no terminal.

    A reader that stops early, such as ``head``, is no error.

    Raises:
        OutputError: If they cannot be written.
    """
    try:
        if sys.stdout is not None:
            sys.stdout.write(printable_lines(text) + "\n")
            sys.stdout.flush()
    except (OSError, ValueError) as error:
        if not _has_no_reader(error):
            raise OutputError(
                f"standard output: cannot be written, {reason(error)}; send it to another file"
            ) from error


@contextmanager
def standard_streams() -> Iterator[None]:
    """Let neither a standard stream that is closed, nor one that cannot be written, do harm.

    A file that is opened while one is closed gets its number, and with it what libraries write to
    standard error. What is left in a stream that cannot be written would change the exit code.
    """
    _fill_closed()
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                if stream is not None:
                    stream.flush()
            except (OSError, ValueError) as error:
                if stream is sys.stderr or _has_no_reader(error):
                    _discard(stream)


def _has_no_reader(error: BaseException) -> bool:
    # Windows says that the value is wrong.
    return isinstance(error, OSError) and error.errno in (errno.EPIPE, errno.EINVAL)


def _fill_closed() -> None:
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            with suppress(OSError):
                # The lowest free number is taken, which is this one. Children may have it, too.
                os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


def _discard(stream: TextIO) -> None:
    """Send what ``stream`` holds, and all that follows, to nowhere."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, stream.fileno())
        finally:
            os.close(nowhere)
        stream.flush()


@contextmanager
def log_to_stderr(debug: bool, packages: tuple[str, ...]) -> Iterator[None]:
    """Show the logs of ``packages`` on standard error; of others only what they insist on."""
    loggers = [logging.getLogger(package) for package in packages]
    levels = [logger.level for logger in loggers]
    handler = _LineHandler(sys.stderr)
    handler.setFormatter(_LineFormatter())
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG if debug else logging.INFO)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
            logger.removeHandler(handler)


@contextmanager
def stop_on_termination() -> Iterator[None]:
    """Let SIGTERM and a closed terminal stop a command as Ctrl-C does, its files in order."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python gives signals to the main thread only.
        return
    names = ("SIGTERM", "SIGHUP")  # Windows has no SIGHUP
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    # One that is ignored stays so: nohup asks for that.
    wanted = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, _interrupt) for number in wanted}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(*_signal: object) -> NoReturn:
    raise KeyboardInterrupt
