"""Options that choose the faster ways through the networks."""

from __future__ import annotations

import argparse
from dataclasses import fields, replace
from typing import TYPE_CHECKING

from ..config import SPEEDS, FastPaths

if TYPE_CHECKING:
    import torch


def add_switches(parser: argparse._ActionsContainer) -> None:
    """Add an option that turns off each way that can be left out alone."""
    for field in fields(FastPaths):
        if field.default:
            option = field.name.replace("_", "-")
            parser.add_argument(f"--no-{option}", action="store_true", help=f"leave {option} out")


def add_fast_paths(parser: argparse.ArgumentParser) -> None:
    """Add the options that :func:`read_fast_paths` reads."""
    group = parser.add_argument_group("speed")
    group.add_argument(
        "--speed",
        choices=SPEEDS,
        default="auto",
        help="way through the networks; auto: fused on a GPU with Triton, else plain",
    )
    group.add_argument(
        "--float8",
        action="store_true",
        help="large layers in 8-bit floats: faster, changes the picture a little",
    )
    add_switches(group)


def leave_out(paths: FastPaths, args: argparse.Namespace) -> FastPaths:
    """Return ``paths`` without what the options of :func:`add_switches` turn off."""
    off = {
        field.name: False
        for field in fields(paths)
        if field.default and getattr(args, f"no_{field.name}")
    }
    if "channels_last" in off:
        off["fused_layers"] = False
    return replace(paths, **off)


def read_fast_paths(args: argparse.Namespace, device: torch.device) -> FastPaths:
    """Return the ways that were asked for, for a render on ``device``.

    Raises:
        InvalidInputError: If one was asked for by name that cannot run there.
    """
    from ..acceleration.apply import choose_fast_paths

    return leave_out(choose_fast_paths(args.speed, device), args)
