"""Log lines that are safe to show on a terminal and never end the work, whoever shows them."""

from __future__ import annotations

import logging
import traceback
from typing import Any

from .excerpt import printable


class _Log(logging.LoggerAdapter[logging.Logger]):
    """A logger whose handlers may fail."""

    def log(self, level: int, msg: object, *args: object, **settings: Any) -> None:
        try:
            # One more: the line is attributed to where it was logged, not from here.
            settings["stacklevel"] = settings.get("stacklevel", 1) + 1
            super().log(level, msg, *args, **settings)
        except Exception:  # the border between the work and its log
            return


def printable_log(logger: logging.Logger) -> logging.LoggerAdapter[logging.Logger]:
    """Let ``logger`` make what it logs printable; return one that raises nothing.

    In ComfyUI the handlers are not this project's, so lines are made safe where they are logged.
    """
    logger.addFilter(_make_printable)
    return _Log(logger, {})


def printable_lines(text: str) -> str:
    """Return ``text`` with its line breaks and all else that steers a terminal escaped."""
    return "\n".join(map(printable, text.split("\n")))


def _make_printable(record: logging.LogRecord) -> bool:
    record.msg, record.args = printable(record.getMessage()), None
    if isinstance(record.exc_info, tuple) and record.exc_info[0] is not None:
        # Formatters take this text where it is set.
        record.exc_text = printable_lines("".join(traceback.format_exception(*record.exc_info)))
    return True
