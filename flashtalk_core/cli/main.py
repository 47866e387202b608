"""Argument parsing, and the one place where errors become a line and an exit code."""

from __future__ import annotations

import argparse
import logging
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from ..borders import is_out_of_memory, reason
from ..config import require
from ..errors import FlashTalkError, InvalidInputError
from ..excerpt import excerpt, printable
from ..packages import missing_package
from . import doctor, render
from .terminal import log_to_stderr, standard_streams, stop_on_termination, tell

logger = logging.getLogger(__name__)

TOOLS = {
    "parity": "flashtalk_core.cli.parity",
    "bench": "flashtalk_core.cli.bench.command",
    "evaluate": "flashtalk_training.cli.evaluate",
    "train": "flashtalk_training.cli.train",
    "experiment": "flashtalk_training.cli.experiment",
}
"""Commands of development, which the published pack leaves out (``.comfyignore``)."""


def _tools() -> dict[str, ModuleType]:
    return {name: import_module(module) for name, module in TOOLS.items() if _is_there(module)}


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


_TOOLS = _tools()
COMMANDS = (render, doctor, *_TOOLS.values())
PROGRAM = "python -m flashtalk_core"

_DISTRIBUTIONS = {"PIL": "pillow"}
"""Packages that are called otherwise than their module."""
_FAULT_OF_USER = 2
_FAULT_OF_OURS = 1
_STOPPED = 130
_LONGEST_COMPLAINT = 400
_WITHOUT_DOCSTRINGS = 2
"""What ``python -OO`` sets."""


class _Parser(argparse.ArgumentParser):
    """A parser that raises its complaints, and knows ``--debug`` at every level."""

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

    def error(self, message: str) -> NoReturn:
        """Raise what is wrong with the arguments."""
        shown = excerpt(message, _LONGEST_COMPLAINT)
        raise InvalidInputError(f"{shown}; see `{self.prog} --help`")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = _Parser(prog=PROGRAM, description="A portrait and speech become a talking video.")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="command")
    for command in COMMANDS:
        command.add_parser(subparsers)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: Arguments; ``None`` takes the process's.

    Returns:
        Exit code: 0 when all went well, 1 for a fault of ours or a comparison that fails, 2 for
        a fault of the input, 130 when stopped.
    """
    arguments = sys.argv[1:] if argv is None else argv
    debug = "--debug" in arguments
    with standard_streams(), log_to_stderr(debug), stop_on_termination():
        try:
            _check_there(arguments)
            args = build_parser().parse_args(arguments)
            check_surroundings()
            return int(args.run(args))
        except (Exception, KeyboardInterrupt) as error:
            logger.debug("stopped by this", exc_info=True)
            line, code = describe(error)
            tell(sys.stderr, f"error: {line}\n")
            return code


def _check_there(arguments: list[str]) -> None:
    """Raise if the command is one that was left out of this copy."""
    name = next((word for word in arguments if not word.startswith("-")), "")
    if name in TOOLS and name not in _TOOLS:
        raise InvalidInputError(
            f"command {name!r}: this copy is the published pack, which has only what renders; "
            "take the project's repository for it"
        )


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
        "python -OO: the package transformers needs the docstrings that it removes; use -O, or "
        "neither",
    )


def describe(error: BaseException) -> tuple[str, int]:
    """Return one line that tells ``error`` to a user, and the exit code."""
    said = str(error)
    if isinstance(error, KeyboardInterrupt):
        line, code = said or "stopped on request", _STOPPED
    elif isinstance(error, FlashTalkError):
        line, code = said, _FAULT_OF_USER
    elif is_out_of_memory(error):
        line, code = f"out of memory ({reason(error)}); try a smaller --size", _FAULT_OF_USER
    elif isinstance(error, ModuleNotFoundError) and error.name and not _is_own(error.name):
        name = error.name.partition(".")[0]
        line = (
            f"{missing_package(_DISTRIBUTIONS.get(name, name))}; `doctor` lists all that are needed"
        )
        code = _FAULT_OF_USER
    else:
        fault = f"unexpected {type(error).__name__}: {_said(error)}"
        line, code = f"{fault}; please report it with what --debug shows", _FAULT_OF_OURS
    notes = getattr(error, "__notes__", ())
    return printable(" ".join("; ".join([line, *notes]).split())), code


def _is_own(module: str) -> bool:
    return module.partition(".")[0] == __name__.partition(".")[0]


def _said(error: BaseException) -> str:
    return reason(error) if str(error).strip() else "no message"
