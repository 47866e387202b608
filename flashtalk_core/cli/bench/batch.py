"""``bench batch``: rows an hour of a batch, against single renders."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

from ...errors import require
from ..tables import print_rows


def add_batch(parts: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the part and its options."""
    text = "rows an hour of a batch, against a process for each render"
    part = parts.add_parser("batch", help=text, description=text)
    part.add_argument("--rows", type=int, default=5, help="videos")
    part.add_argument("--duration", type=float, default=1.0, help="length of each, seconds")
    part.add_argument("--model", default="tiny", help="'tiny' or a folder of weights")
    part.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps ...")
    part.set_defaults(run=run_batch)


def run_batch(args: argparse.Namespace) -> int:
    """Render the same rows both ways, and print how long that took."""
    from ...bench.batch import measure_batch

    require(args.rows >= 1, f"rows {args.rows}: use 1 or more")
    require(args.duration > 0, f"duration {args.duration}: use more than 0 seconds")
    options = ["--model", args.model, "--device", args.device]
    with TemporaryDirectory() as folder:
        found = measure_batch(args.rows, args.duration, Path(folder), options)
    print_rows(args, [asdict(found)])
    return 0
