"""``bench convolutions``: where the autoencoder's time goes."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from ...placement.devices import choose_device, choose_dtype
from ..rendering.render_options import parse_size
from ..tables import print_parts
from .shared_options import add_execution, add_model, sizes_of


def add_convolutions(parts: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the part."""
    text = (
        "each convolution of the autoencoder by itself, and its stages eagerly, with cuDNN's "
        "choice by timing and as a CUDA graph"
    )
    part = parts.add_parser("convolutions", help=text, description=text)
    add_model(part)
    part.add_argument("--size", type=parse_size, metavar="HxW", help="default: the model's")
    part.add_argument("--decode-latents", type=int, default=8, help="latent frames at once")
    add_execution(part)
    part.set_defaults(run=run_convolutions)


def run_convolutions(args: argparse.Namespace) -> int:
    """Measure."""
    from ...acceleration.apply import set_execution
    from ...acceleration.support import choose_kernel_options
    from ...bench.kernels.convolutions import measure_convolutions, measure_ways
    from ...bench.random_networks import random_inputs, random_networks
    from ...errors import require
    from ...geometry import check_size
    from ...models.attention import sdpa

    for name, count in (("repeats", args.repeats), ("decode latents", args.decode_latents)):
        require(count >= 1, f"{name} {count}: use 1 or more")
    device = choose_device(args.device)
    config = sizes_of(args.model)
    size_px = args.size or config.size_px
    check_size(size_px)
    options = choose_kernel_options(args.speed, device)
    networks = random_networks(config, sdpa, device, choose_dtype(args.dtype, device))
    set_execution(networks.vae, options, device)
    inputs = random_inputs(networks, size_px, 1)
    measured = (networks, inputs, args.decode_latents, args.repeats)
    parts = {
        "convolutions": [asdict(row) for row in measure_convolutions(*measured)],
        "ways": [asdict(row) for row in measure_ways(*measured)],
    }
    print_parts(args, parts)
    return 0
