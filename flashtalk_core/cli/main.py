"""The command line of the core: rendering, and the tools of development where they are."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.util import find_spec

from ..errors import InvalidInputError
from .program import Command, LazyCommand, Program, run

PACKAGE = __name__.partition(".")[0]
COMMANDS = {
    "render": "rendering.command",
    "batch": "batch.command",
    "jobs": "rendering.jobs",
    "convert": "convert",
    "doctor": "diagnosis.doctor",
}
"""Commands and their modules."""
TOOLS = {
    "serve": "serve",
    "comfy-batch": "batch.comfy",
    "parity": "parity",
    "bench": "bench.command",
}
"""Commands and their modules which the published pack leaves out."""
TRAINING = {
    ("train",): "train",
    ("evaluate",): "evaluate",
    ("experiment",): "experiment",
    ("lips",): "lips",
    ("faces",): "faces",
    ("bench", "lips"): "lips",
}
"""Commands of the package ``flashtalk_training``, by what may be typed for them here."""


def _commands() -> tuple[Command, ...]:
    modules = COMMANDS | {name: module for name, module in TOOLS.items() if name in _THERE}
    loads: dict[str, Callable[[], Command]] = {
        name: partial(_load, module) for name, module in modules.items()
    }
    loads["jobs"] = _load_jobs
    return tuple(LazyCommand(name, load) for name, load in loads.items())


def _load(module: str) -> Command:
    return import_module(f"{__package__}.{module}")


def _load_jobs() -> Command:
    from .rendering.command import open_engine
    from .rendering.jobs import Jobs

    return Jobs(open_engine)


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # the folder around it was left out
        return False


_THERE = {name for name, module in TOOLS.items() if _is_there(f"{__package__}.{module}")}


def _check_there(arguments: list[str]) -> None:
    """Raise if the command is one of another program, or was left out of this copy."""
    words = tuple(word for word in arguments if not word.startswith("-"))
    name = TRAINING.get(words[:2]) or TRAINING.get(words[:1])
    if name is not None:
        raise InvalidInputError(
            f"command {name!r}: it belongs to training; use `python -m flashtalk_training {name}` "
            "in the project's repository"
        )
    name = next(iter(words), "")
    if name in TOOLS and name not in _THERE:
        raise InvalidInputError(
            f"command {name!r}: this copy is the published pack, which can only render; "
            "use the project's repository for it"
        )


PROGRAM = Program(
    name="python -m flashtalk_core",
    description="A portrait and speech become a talking video.",
    commands=_commands(),
    packages=(PACKAGE,),
    check=_check_there,
)


def main(argv: list[str] | None = None) -> int:
    """Run a command; see :func:`.program.run`."""
    return run(PROGRAM, argv)
