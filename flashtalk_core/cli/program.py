"""A program of commands, and the one place where errors become a line and an exit code."""

from __future__ import annotations

import argparse
import logging
import re
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, Protocol

from ..borders import is_out_of_memory
from ..errors import FlashTalkError, InvalidInputError, require
from ..excerpt import excerpt, printable, reason
from ..packages import missing_package
from .terminal import log_to_stderr, standard_streams, stop_on_termination, write_message

logger = logging.getLogger(__name__)

_DISTRIBUTIONS = {"PIL": "pillow"}
"""Packages that are called otherwise than their module."""
_NEGATIVE_LIST = re.compile(r"-\d+,")
_USER_ERROR = 2
_INTERNAL_ERROR = 1
_STOPPED = 130
_LONGEST_ERROR = 400
_WITHOUT_DOCSTRINGS = 2
"""What ``python -OO`` sets."""


class Command(Protocol):
    """A module that is one command."""

    def add_parser(self, subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
        """Add the command and its options."""


@dataclass(frozen=True)
class LazyCommand:
    """A command that is imported when it is typed, or all of them are listed."""

    name: str
    """What is typed."""
    load: Callable[[], Command]

    def add_parser(self, subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
        """Add the command; see :class:`Command`."""
        self.load().add_parser(subparsers)


@dataclass(frozen=True)
class Program:
    """Commands under one name.

    Attributes:
        name: What users type.
        description: One line for ``--help``.
        commands: In the order of ``--help``.
        packages: Whose log is shown, and whose missing modules are errors of this program.
        check: Raises if the arguments name something that this copy does not have.
    """

    name: str
    description: str
    commands: tuple[Command, ...]
    packages: tuple[str, ...]
    check: Callable[[list[str]], None] = field(default=lambda _: None)


class RaisingParser(argparse.ArgumentParser):
    """A parser that raises its errors, and knows ``--debug`` at every level."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **settings})
        self.add_argument(
            "--debug",
            action="store_true",
            default=argparse.SUPPRESS,
            help="log more; show tracebacks",
        )

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> Any:
        # Before Python 3.13 a value of ``--`` is left out, and a list is returned.
        if action.option_strings and action.nargs is None and arg_strings == ["--"]:
            raise argparse.ArgumentError(action, "expected one argument")
        return super()._get_values(action, arg_strings)

    def parse_known_args(
        self, args: Iterable[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """Raise if an argument is unknown: whoever called this would name its own help."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return found, unknown

    def error(self, message: str) -> NoReturn:
        """Raise what is wrong with the arguments."""
        shown = excerpt(message, _LONGEST_ERROR)
        raise InvalidInputError(f"{shown}; see `{self.prog} --help`")


def build_parser(program: Program, typed: str = "") -> argparse.ArgumentParser:
    """Return the parser of all commands, or of one alone if it is known which was typed."""
    parser = RaisingParser(prog=program.name, description=program.description)
    subparsers: Any = parser.add_subparsers(dest="command", required=True, metavar="command")
    named = [each for each in program.commands if isinstance(each, LazyCommand)]
    for command in [each for each in named if each.name == typed] or program.commands:
        command.add_parser(subparsers)
    return parser


def with_negative_values(arguments: Sequence[str]) -> list[str]:
    """Return arguments with lists like ``-1,0,20,20`` joined to their option.

    argparse takes them for options, and would say that the one before lacks its value.
    """
    joined: list[str] = []
    for each in arguments:
        if joined and _NEGATIVE_LIST.match(each) and joined[-1].startswith("--"):
            joined[-1] += f"={each}"
        else:
            joined.append(each)
    return joined


def run(program: Program, argv: list[str] | None = None) -> int:
    """Run a command.

    Args:
        program: What there is to run.
        argv: Arguments; ``None`` takes the process's.

    Returns:
        Exit code: 0 when all went well, 1 for an error of this program or a comparison that
        fails, 2 for an error of the input, 130 when stopped.
    """
    arguments = sys.argv[1:] if argv is None else argv
    debug = "--debug" in arguments
    with standard_streams(), log_to_stderr(debug, program.packages), stop_on_termination():
        try:
            program.check(arguments)
            typed = next((each for each in arguments if not each.startswith("-")), "")
            args = build_parser(program, typed).parse_args(with_negative_values(arguments))
            check_surroundings()
            return int(args.run(args))
        except (Exception, KeyboardInterrupt) as error:
            logger.debug("stopped by this", exc_info=True)
            line, code = describe(error, program.packages)
            write_message(sys.stderr, f"error: {line}\n")
            return code


def run_as_process(main: Callable[[], int]) -> int:
    """Run a command that is all that its process does, and return the exit code.

    Whoever presses Ctrl-C again while the first one is at work gets no traceback: nothing but the
    end of the process follows.
    """
    try:
        code = main()
    except KeyboardInterrupt:
        code = _STOPPED
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return code


def check_surroundings() -> None:
    """Refuse what the packages that are used cannot run in.

    Raises:
        InvalidInputError: If the working folder is gone, or Python runs without docstrings.
    """
    try:
        Path.cwd()
    except OSError as error:
        raise InvalidInputError(
            f"working folder: {reason(error)}, it was removed or renamed; change to another one"
        ) from error
    require(
        sys.flags.optimize < _WITHOUT_DOCSTRINGS,
        "python -OO: the docstrings that it removes are needed; use -O, or neither",
    )


def describe(error: BaseException, packages: tuple[str, ...] = ()) -> tuple[str, int]:
    """Return one line that reports ``error`` to a user, and the exit code.

    Args:
        error: What stopped a command.
        packages: Own packages, of which a missing module is an internal error.
    """
    said = str(error)
    if isinstance(error, KeyboardInterrupt):
        line, code = said or "stopped on request", _STOPPED
    elif isinstance(error, FlashTalkError):
        line, code = said, _USER_ERROR
    elif is_out_of_memory(error):
        line, code = f"out of memory ({reason(error)}); try a smaller --size", _USER_ERROR
    elif isinstance(error, ModuleNotFoundError) and _root(error.name) not in ("", *packages):
        name = _root(error.name)
        line = (
            f"{missing_package(_DISTRIBUTIONS.get(name, name))}; `doctor` lists all that are needed"
        )
        code = _USER_ERROR
    else:
        problem = f"unexpected {type(error).__name__}: {_said(error)}"
        line, code = f"{problem}; please report it with what --debug shows", _INTERNAL_ERROR
    notes = getattr(error, "__notes__", ())
    return printable(" ".join("; ".join([line, *notes]).split())), code


def _root(module: str | None) -> str:
    return (module or "").partition(".")[0]


def _said(error: BaseException) -> str:
    return reason(error) if str(error).strip() else "no message"
