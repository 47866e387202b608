"""Log lines that are safe to show on a terminal, whoever shows them."""

from __future__ import annotations

import logging
import traceback

from .excerpt import printable


def printable_log(logger: logging.Logger) -> logging.Logger:
    """Let ``logger`` make what it logs printable, and return it.

    In ComfyUI the handlers are not this project's, so lines are made safe where they are logged.
    """
    logger.addFilter(_make_printable)
    return logger


def printable_lines(text: str) -> str:
    """Return ``text`` with its line breaks kept and all else that steers a terminal escaped."""
    return "\n".join(map(printable, text.split("\n")))


def _make_printable(record: logging.LogRecord) -> bool:
    record.msg, record.args = printable(record.getMessage()), None
    if isinstance(record.exc_info, tuple) and record.exc_info[0] is not None:
        # Formatters take this text where it is set.
        record.exc_text = printable_lines("".join(traceback.format_exception(*record.exc_info)))
    return True
