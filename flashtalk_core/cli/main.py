"""The command line of the core: rendering, and the tools of development where they are."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from ..errors import InvalidInputError
from . import convert
from .batch import command as batch
from .diagnosis import doctor
from .program import Command, Program, run
from .rendering import command as render
from .rendering.jobs import Jobs

PACKAGE = __name__.partition(".")[0]
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


def _find_tools() -> dict[str, Command]:
    modules = {name: f"{__package__}.{module}" for name, module in TOOLS.items()}
    return {name: import_module(module) for name, module in modules.items() if _is_there(module)}


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # the folder around it was left out
        return False


_TOOLS = _find_tools()


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
    if name in TOOLS and name not in _TOOLS:
        raise InvalidInputError(
            f"command {name!r}: this copy is the published pack, which can only render; "
            "use the project's repository for it"
        )


PROGRAM = Program(
    name="python -m flashtalk_core",
    description="A portrait and speech become a talking video.",
    commands=(render, batch, Jobs(render.open_engine), convert, doctor, *_TOOLS.values()),
    packages=(PACKAGE,),
    check=_check_there,
)


def main(argv: list[str] | None = None) -> int:
    """Run a command; see :func:`.program.run`."""
    return run(PROGRAM, argv)
