"""``parity``: compare this code with the recorded numbers of the authors' code."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..placement.devices import DTYPES, choose_device, choose_dtype
from .terminal import write_out


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    text = "compare this code with recorded numbers of the authors' code"
    parser = subparsers.add_parser("parity", help=text, description=text)
    parser.add_argument(
        "folder", type=Path, metavar="DIR", help="folder of golden files, such as tests/golden"
    )
    parser.add_argument("--device", default="cpu", help="auto, cpu, cuda, cuda:1, mps ...")
    parser.add_argument("--dtype", choices=("auto", *DTYPES), default="float32")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print each result's error next to its bound; 0 if all are within, else 1."""
    from ..parity.report import format_table, to_json
    from ..parity.runner import run_parity

    device = choose_device(args.device)
    results = run_parity(args.folder, device, choose_dtype(args.dtype, device))
    write_out((to_json if args.json else format_table)(results))
    return 0 if all(result.passed for result in results) else 1
