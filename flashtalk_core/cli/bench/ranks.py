"""``bench ranks``: a chunk divided among the GPUs of this machine."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING

from ...placement.devices import DTYPES
from ..rendering.render_options import parse_size
from ..tables import print_parts
from .shared_options import add_model, count_ranks, sizes_of

if TYPE_CHECKING:
    from ...bench.ranks.chunks import ChunkBench, Division


def add_ranks(parts: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the part."""
    text = "a chunk with random weights divided among the GPUs of this machine: right, and how fast"
    part = parts.add_parser("ranks", help=text, description=text)
    part.add_argument("--ranks", type=int, help="processes; default: the GPUs there are")
    part.add_argument("--cpu", action="store_true", help="through gloo, without a GPU")
    part.add_argument(
        "--alone",
        type=int,
        nargs="+",
        metavar="RANKS",
        help="time one rank of so many on one device instead, without exchanges: its step, and "
        "its band of the frames",
    )
    add_model(part)
    part.add_argument(
        "--sizes", type=parse_size, nargs="+", metavar="HxW", help="default: the model's"
    )
    part.add_argument("--steps", type=int, nargs="+", default=[4], help="denoising steps")
    part.add_argument(
        "--modes", nargs="+", choices=("dense", "float8"), default=["dense"], help="linear layers"
    )
    part.add_argument(
        "--divisions",
        nargs="+",
        choices=("ulysses", "ring", "columns", "graph", "xfuser"),
        default=["ulysses"],
        help="how the devices share: Ulysses and rows of bands, with Ring, with columns of bands, "
        "with steps recorded as CUDA graphs, with xfuser's exchange",
    )
    part.add_argument("--decode-latents", type=int, default=8, help="latent frames decoded at once")
    part.add_argument("--attention", default="auto", help="attention kernel")
    part.add_argument("--dtype", choices=DTYPES, help="default: bfloat16, on a CPU float32")
    part.add_argument("--repeats", type=int, default=5, help="measured runs")
    part.set_defaults(run=run_ranks)


def run_ranks(args: argparse.Namespace) -> int:
    """Check the options, then measure; 0 if all divisions agree with one device, else 1."""
    from ...bench.ranks.chunks import measure_chunks

    if args.alone:
        return _run_alone(args)
    ranks = count_ranks(args, "a chunk is divided among")
    report = measure_chunks(_bench(args, ranks), ranks, "gloo" if args.cpu else "nccl")
    print_parts(args, asdict(report))
    return 0 if all(row["passed"] for row in report.agreements) else 1


def _run_alone(args: argparse.Namespace) -> int:
    from ...bench.ranks.chunks import measure_alone
    from ...errors import require
    from ...placement.devices import choose_device

    require(args.repeats >= 1, f"repeats {args.repeats}: use 1 or more")
    for ranks in args.alone:
        require(ranks >= 2, f"alone {ranks}: it is one rank of several; use 2 or more")
    names = set(args.divisions) & {"ring", "xfuser"}
    require(
        not names,
        f"divisions {', '.join(sorted(names))}: most of that is its exchange, which --alone leaves "
        "out; use ulysses, columns or graph",
    )
    device = choose_device("cpu" if args.cpu else "auto")
    report = measure_alone(_bench(args, max(args.alone)), args.alone, device)
    print_parts(args, asdict(report))
    return 0


def _bench(args: argparse.Namespace, ranks: int) -> ChunkBench:
    import torch

    from ...bench.ranks.chunks import ChunkBench
    from ...bench.stages import Setting

    config = sizes_of(args.model)
    settings = tuple(
        Setting(size, steps, args.decode_latents)
        for size in args.sizes or [config.size_px]
        for steps in args.steps
    )
    return ChunkBench(
        config=config,
        float8=tuple(mode == "float8" for mode in sorted(args.modes)),
        settings=settings,
        divisions=tuple(_division(name, ranks) for name in args.divisions),
        repeats=args.repeats,
        dtype=getattr(torch, args.dtype or ("float32" if args.cpu else "bfloat16")),
        attention=args.attention,
    )


def _division(name: str, ranks: int) -> Division:
    from ...bench.ranks.chunks import Division

    return {
        "ulysses": Division("ulysses, rows", grid="rows"),
        "ring": Division("ring, rows", ring=ranks, grid="rows"),
        "columns": Division("ulysses, columns", grid="columns"),
        "graph": Division("ulysses, rows, graph", grid="rows", graph="on"),
        "xfuser": Division("xfuser, rows", grid="rows", exchange="xfuser"),
    }[name]
