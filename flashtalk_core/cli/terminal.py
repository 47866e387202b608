"""Standard error and signals while a command runs."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn, TextIO

from ..log import printable_lines

_PACKAGE = __name__.partition(".")[0]


class _LineFormatter(logging.Formatter):
    """Messages as sentences; only warnings and worse say what they are."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as text that steers no terminal, whatever it quotes."""
        text = printable_lines(super().format(record))
        if record.levelno == logging.DEBUG:
            return f"debug: {record.name}: {text}"
        return text if record.levelno == logging.INFO else f"{record.levelname.lower()}: {text}"


class _LineHandler(logging.StreamHandler[TextIO]):
    """Writes lines over a progress bar, which draws itself anew below them."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as a line that hides what the line held before."""
        text = super().format(record)
        return f"\r{text.ljust(79)}" if self.stream.isatty() else text


def write_out(text: str) -> None:
    """Write lines to standard output; what they quote from outside steers no terminal."""
    sys.stdout.write(printable_lines(text) + "\n")


@contextmanager
def log_to_stderr(debug: bool) -> Iterator[None]:
    """Show this package's log on standard error; of other packages only what they insist on."""
    package = logging.getLogger(_PACKAGE)
    handler = _LineHandler(sys.stderr)
    handler.setFormatter(_LineFormatter())
    level = package.level
    package.addHandler(handler)
    package.setLevel(logging.DEBUG if debug else logging.INFO)
    try:
        yield
    finally:
        package.setLevel(level)
        package.removeHandler(handler)


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
