"""Options of ``render`` for where it runs: on one device, several or a cluster."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Mapping
from typing import Any

from ...acceleration.kernel_options import EXCHANGES
from ...config.phase_limits import read_limit
from ...errors import InvalidInputError
from ...parallel.bands import AUTO
from ...placement.devices import parse_devices, parse_numbers

logger = logging.getLogger(__name__)


def device_list(text: str) -> tuple[str, ...]:
    """Return the devices of an option; see :func:`.placement.devices.parse_devices`.

    Raises:
        argparse.ArgumentTypeError: If it is no list of devices.
    """
    try:
        return parse_devices(text)
    except InvalidInputError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def parse_limit(text: str) -> tuple[str, float]:
    """Return a phase of several devices and the seconds it may take without progress.

    Raises:
        argparse.ArgumentTypeError: If it is no phase, or not more than 0 seconds.
    """
    try:
        return read_limit(text)
    except InvalidInputError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def limits_of(args: argparse.Namespace) -> dict[str, float]:
    """Return the limits that were given, as fields of :class:`.runtime.limits.Limits`."""
    given = {f"{phase}_s": limit_s for phase, limit_s in args.limit}
    return given if args.step_limit is None else given | {"step_s": args.step_limit}


def say_unused(limits: Mapping[str, float]) -> None:
    """Say that limits, as :func:`limits_of` returns them, hold for nothing on one device."""
    if limits:
        options = (
            f"--step-limit {limit_s:g}" if name == "step_s" else
            f"--limit {name.removesuffix('_s')}={limit_s:g}"
            for name, limit_s in limits.items()
        )  # fmt: skip
        logger.warning(
            "%s: not used, one device renders in this process, which nothing can end from outside; "
            "limits are for --devices with several, and for --ray",
            " ".join(options),
        )


def add_device_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that :func:`read_devices` and :func:`limits_of` read."""
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps ...")
    several = parser.add_argument_group("several devices")
    several.add_argument(
        "--devices",
        type=device_list,
        default=(),
        metavar="LIST",
        help="GPUs that render together, such as 0,1,2,3",
    )
    several.add_argument(
        "--ray",
        default="",
        metavar="ADDRESS",
        help="Ray cluster that renders, as host:port or 'auto', on such a device or so many of "
        "one of its hosts",
    )
    add_limit_options(several)
    several.add_argument(
        "--vae-grid",
        default=AUTO,
        metavar="GRID",
        help="how they divide the frames: auto, rows, columns, or rows x columns of bands, such "
        "as 2x2",
    )
    several.add_argument(
        "--vae-devices",
        default="",
        metavar="NUMBERS",
        help="those that have a part of the frames, counted from 0: 0,1 for the first two; "
        "default: all",
    )
    several.add_argument(
        "--exchange",
        choices=EXCHANGES,
        default="collectives",
        help="what exchanges tokens between them: this project's collectives, or the package "
        "xfuser",
    )
    several.add_argument(
        "--ring",
        type=int,
        default=1,
        metavar="N",
        help="groups that pass keys and values around; 1: all exchange tokens for heads (Ulysses)",
    )


def add_limit_options(parser: argparse._ActionsContainer) -> None:
    """Add the options that :func:`limits_of` reads."""
    parser.add_argument(
        "--step-limit",
        type=float,
        metavar="SECONDS",
        help="end a render without progress for as long, also on a cluster; default: 20 times the "
        "usual time of a step, and at least 60",
    )
    parser.add_argument(
        "--limit",
        type=parse_limit,
        action="append",
        default=[],
        metavar="PHASE=SECONDS",
        help="end a render that makes no progress for as long in a phase: start (120), load (900, "
        "the first chunk included), step (see --step-limit) or stop (5); may be repeated",
    )


def read_devices(args: argparse.Namespace) -> dict[str, Any]:
    """Return fields of :class:`PlacementSpec`.

    Raises:
        InvalidInputError: If a list of numbers is none.
    """
    return {
        "device": args.device,
        "devices": args.devices,
        "cluster": args.ray,
        "vae_devices": parse_numbers(args.vae_devices),
        "vae_grid": args.vae_grid,
        "exchange": args.exchange,
        "ring": args.ring,
    }
