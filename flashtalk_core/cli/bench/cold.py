"""``bench cold``: from weights in local files to the first chunk."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ...placement.devices import DTYPES, choose_device, choose_dtype
from ..rendering.kernel_options import SPEED_WORDS
from ..rendering.render_options import parse_size
from ..tables import print_rows
from .shared_options import sizes_of

logger = logging.getLogger(__name__)


def add_cold(parts: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the part."""
    text = "time from random weights in local files to the first chunk, with empty and warm caches"
    part = parts.add_parser("cold", help=text, description=text)
    part.add_argument(
        "--model", choices=("full", "tiny"), default="full", help="sizes of the networks"
    )
    part.add_argument("--layers", type=int, help="number of transformer blocks; default: all")
    part.add_argument(
        "--folder", type=Path, help="where the weights go; default: a temporary folder"
    )
    part.add_argument(
        "--from-disk",
        action="store_true",
        help="let the system forget the files before each start, and measure the disk's own rate",
    )
    part.add_argument(
        "--no-read-ahead",
        dest="read_ahead",
        action="store_false",
        help="read tensors one by one, as they are asked for",
    )
    part.add_argument(
        "--only-read", action="store_true", help="start, read the weights, and run no chunk"
    )
    part.add_argument("--speed", choices=SPEED_WORDS, default="auto")
    part.add_argument("--float8", action="store_true", help="large layers in FP8")
    part.add_argument("--attention", default="auto")
    part.add_argument("--size", type=parse_size, metavar="HxW", help="default: the model's")
    part.add_argument("--other-size", type=parse_size, metavar="HxW", default=(720, 416))
    part.add_argument("--steps", type=int, default=2)
    part.add_argument("--decode-latents", type=int, default=2)
    part.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 ...")
    part.add_argument("--dtype", choices=("auto", *DTYPES), default="auto")
    part.set_defaults(run=run_cold)


def run_cold(args: argparse.Namespace) -> int:
    """Check everything, then start twice."""
    from ...acceleration.attention_kernels import choose_attention
    from ...acceleration.support import choose_kernel_options
    from ...bench.cold import measure_cold_starts
    from ...errors import require
    from ...files.read_ahead import can_read_ahead
    from ...geometry import check_size
    from ...placement.memory_choice import check_choice
    from ...placement.memory_plan import MemoryChoice

    device = choose_device(args.device)
    check_choice(MemoryChoice(float8=args.float8), device)
    choose_kernel_options(args.speed, device)
    choose_attention(args.attention, device)
    config = sizes_of(args.model)
    layers = config.dit.num_layers if args.layers is None else args.layers
    for name, count in {"layers": layers, "decode latents": args.decode_latents}.items():
        require(count >= 1, f"{name} {count}: use 1 or more")
    require(
        args.folder is None or args.folder.is_dir(),
        f"folder {args.folder}: no such folder; make it, or leave --folder out",
    )
    require(
        not args.from_disk or can_read_ahead(),
        "--from-disk: files can be forgotten and read at a place on Linux only; leave it out",
    )
    sizes = (args.size or config.size_px, args.other_size)
    for size_px in sizes:
        check_size(size_px)
    options: dict[str, Any] = {
        "speed": args.speed,
        "float8": args.float8,
        "attention": args.attention,
        "device": str(device),
        "dtype": str(choose_dtype(args.dtype, device)).removeprefix("torch."),
        "size_px": sizes[0],
        "other_size_px": sizes[1],
        "steps": replace(config.sampling, steps=args.steps).steps,
        "decode_latents": args.decode_latents,
        "from_disk": args.from_disk,
        "read_ahead": args.read_ahead,
        "only_read": args.only_read,
    }
    config = replace(config, dit=replace(config.dit, num_layers=layers))
    with TemporaryDirectory(dir=args.folder) as folder:
        found = measure_cold_starts(
            config, options, Path(folder), lambda text: logger.info("%s", text)
        )
    rows: Sequence[dict[str, Any]] = [{"layers": layers} | asdict(each) for each in found]
    print_rows(args, rows)
    return 0
