"""``bench links``: exchanges between the GPUs of this machine, eager and as CUDA graphs."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from ..tables import print_parts
from .shared_options import count_ranks


def add_links(parts: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the part."""
    text = "exchanges between the GPUs of this machine, at the sizes that a split model sends"
    part = parts.add_parser("links", help=text, description=text)
    part.add_argument("--ranks", type=int, help="processes; default: one for each GPU")
    part.add_argument("--cpu", action="store_true", help="exchange through gloo, without a GPU")
    part.add_argument("--largest", type=float, metavar="MB", help="leave out larger exchanges")
    part.add_argument("--repeats", type=int, default=20, help="measured calls of each exchange")
    part.set_defaults(run=run_links)


def run_links(args: argparse.Namespace) -> int:
    """Check the options, then measure."""
    from ...bench.ranks.links import EXCHANGES, copy_rates_gb_per_s, measure_links

    ranks = count_ranks(args, "an exchange needs")
    exchanges = [
        each for each in EXCHANGES if args.largest is None or each.megabytes <= args.largest
    ]
    found = measure_links(ranks, "gloo" if args.cpu else "nccl", exchanges, args.repeats)
    parts = {"links": [asdict(each) for each in found]}
    if not args.cpu:
        parts["copies"] = [
            {"way": way, "gb_per_s": rate} for way, rate in copy_rates_gb_per_s().items()
        ]
    print_parts(args, parts)
    return 0
