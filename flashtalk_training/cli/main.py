"""The command line of training."""

from __future__ import annotations

from flashtalk_core.cli.program import Program, run

from . import evaluate, experiment, faces, lips, train

PROGRAM = Program(
    name="python -m flashtalk_training",
    description="Train avatar models, measure them, and compare training recipes.",
    commands=(train, evaluate, experiment, lips, faces),
    packages=("flashtalk_core", "flashtalk_training"),
)


def main(argv: list[str] | None = None) -> int:
    """Run a command; see :func:`flashtalk_core.cli.program.run`."""
    return run(PROGRAM, argv)
