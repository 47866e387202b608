"""``bench attention``: attention kernels at the sizes of a step, and their error."""

from __future__ import annotations

import argparse
import logging
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ...placement.devices import choose_device
from ..rendering.render_options import parse_size
from ..tables import print_parts
from .shared_options import add_model, sizes_of

if TYPE_CHECKING:
    from ...bench.kernels.attention import AttentionRow
    from ...bench.kernels.context_tiles import ContextRow

logger = logging.getLogger(__name__)


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
    from ...bench.kernels.attention import bench_attention
    from ...bench.kernels.context_tiles import measure_tiles
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
    heads = (num_tokens, config.dit.num_heads, config.dit.head_dim)
    tiles = measure_tiles(*heads, config.dit.clip_tokens, device, args.repeats)
    kernels = bench_attention(*heads, device, args.repeats)
    # Each is logged at once: a kernel that never ends must not hide the others.
    parts = {
        name: list(map(_logged, rows)) for name, rows in (("context", tiles), ("self", kernels))
    }
    print_parts(args, parts)
    return 1 if any(row["failure"] for rows in parts.values() for row in rows) else 0


def _logged(row: AttentionRow | ContextRow) -> dict[str, Any]:
    values = asdict(row)
    logger.info("measured: %s", values)
    return values
