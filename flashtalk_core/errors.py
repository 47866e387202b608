"""Exceptions a user can act on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .excerpt import printable

if TYPE_CHECKING:
    from pathlib import Path


class FlashTalkError(Exception):
    """An error of the input, the files or the machine, described in one line.

    The message names the offending value, the limit and the remedy. Command line and nodes
    show it as it is; anything else that is raised is a bug in this project. What a message
    quotes from outside is made printable here, for every terminal, log and page at once.

    Attributes:
        subject: Name of the setting or model part that is wrong, such as ``steps``,
            ``sound_start`` or ``vae``; ``None`` where it is not known. Interfaces map it to their
            own inputs.
    """

    subject: str | None = None

    def __init__(self, message: str = "", *, subject: str | None = None) -> None:
        super().__init__(message)
        if subject is not None:
            self.subject = subject

    def __str__(self) -> str:
        return printable(super().__str__())


class InvalidInputError(FlashTalkError, ValueError):
    """A value, image or audio that cannot be used as it is."""


class WeightsError(FlashTalkError):
    """A weights file or folder that is missing, incomplete, of another shape, or unsafe."""


class SeveralPartsError(WeightsError):
    """Several parts of a model that are missing or cannot be used, one on each line."""

    def __str__(self) -> str:
        return "\n".join(map(printable, Exception.__str__(self).split("\n")))


class OverflowedError(FlashTalkError):
    """Values that left the range of numbers while a video was generated."""


class OutputError(FlashTalkError):
    """An output file that cannot be written.

    Attributes:
        partial: File of which the message says that it holds what was rendered; ``None`` where
            the message names none.
    """

    subject = "output"

    def __init__(
        self, message: str = "", *, subject: str | None = None, partial: Path | None = None
    ) -> None:
        super().__init__(message, subject=subject)
        self.partial = partial


class NoMemoryError(FlashTalkError):
    """Memory of the computer or of a GPU that is not enough for what is asked."""


class WorkerError(FlashTalkError):
    """A process of several that render together ended, failed or did not go on."""

    subject = "devices"


def require(condition: bool, message: str, *, subject: str | None = None) -> None:
    """Raise :class:`InvalidInputError` with ``message`` unless ``condition`` holds."""
    if not condition:
        raise InvalidInputError(message, subject=subject)


@contextmanager
def about(subject: str, *, instead_of: str | None = None) -> Iterator[None]:
    """Set the subject of errors that are raised within and have none yet.

    Args:
        subject: What they are about.
        instead_of: A subject that is replaced as well; ``None`` replaces none.
    """
    try:
        yield
    except FlashTalkError as error:
        if error.subject is None or error.subject == instead_of:
            error.subject = subject
        raise


@contextmanager
def prefixed(what: str) -> Iterator[None]:
    """Let errors of weights that are raised within begin with what the file is for.

    Args:
        what: Its name in the options, such as ``lora``.
    """
    try:
        yield
    except WeightsError as error:
        said = Exception.__str__(error)
        error.args = (said if said.startswith(f"{what} ") else f"{what} {said}",)
        raise
