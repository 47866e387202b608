"""Options that choose the kernels that networks run with."""

from __future__ import annotations

import argparse
from dataclasses import fields

from ...acceleration.kernel_options import GRAPH_MODES, SPEED_WORDS, KernelOptions


def add_switches(parser: argparse._ActionsContainer) -> None:
    """Add an option that turns off each optimisation that can be left out alone."""
    for field in fields(KernelOptions):
        if field.default:
            words = field.name.replace("_", " ")
            option = f"--no-{words.replace(' ', '-')}"
            parser.add_argument(option, action="store_true", help=f"turn off {words}")


def add_kernel_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of execution modes."""
    group = parser.add_argument_group("speed")
    group.add_argument(
        "--speed",
        choices=SPEED_WORDS,
        default="auto",
        help="execution mode; auto: fused on a GPU with Triton, else eager (also called plain)",
    )
    group.add_argument(
        "--float8",
        action="store_true",
        help="large layers in FP8: faster, changes the image a little",
    )
    add_switches(group)
    group.add_argument(
        "--graph",
        choices=GRAPH_MODES,
        default="auto",
        help="denoising steps as CUDA graphs, which are quick to launch; auto: at small sizes, "
        "where that saves time",
    )


def read_disabled(args: argparse.Namespace) -> tuple[str, ...]:
    """Return what the options of :func:`add_switches` turn off, as names of fields."""
    names = (field.name for field in fields(KernelOptions) if field.default)
    return tuple(name for name in names if getattr(args, f"no_{name}"))
