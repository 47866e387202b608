"""``bench attention``: attention kernels at the sizes of a step, and their error."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from ...placement.devices import choose_device
from ..rendering.render_options import parse_size
from ..tables import print_rows
from .shared_options import add_model, sizes_of


def add_attention(parts: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the part."""
    text = "every attention kernel that is installed: time, and error against float64"
    part = parts.add_parser("attention", help=text, description=text)
    add_model(part)
    part.add_argument("--size", type=parse_size, metavar="HxW", help="default: the model's")
    part.add_argument("--repeats", type=int, default=10, help="measured calls of each")
    part.add_argument("--device", default="auto", help="auto, cuda, cuda:1 ...")
    part.set_defaults(run=run_attention)


def run_attention(args: argparse.Namespace) -> int:
    """Measure; 0 if no kernel failed, else 1."""
    from ...bench.attention import bench_attention
    from ...errors import require
    from ...geometry import check_size, num_latent_frames

    require(args.repeats >= 1, f"repeats {args.repeats}: use 1 or more")
    device = choose_device(args.device)
    require(device.type == "cuda", f"device {device}: these kernels need an NVIDIA GPU")
    config = sizes_of(args.model)
    size_px = args.size or config.size_px
    check_size(size_px)
    frames = num_latent_frames(config.chunk.num_frames)
    num_tokens = frames * (size_px[0] // 16) * (size_px[1] // 16)
    rows = list(
        bench_attention(
            num_tokens,
            config.dit.num_heads,
            config.dit.head_dim,
            device,
            args.repeats,
        )
    )
    print_rows(args, [asdict(row) for row in rows])
    return 1 if any(row.failure for row in rows) else 0
