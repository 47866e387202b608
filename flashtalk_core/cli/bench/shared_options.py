"""Options that several parts of ``bench`` have in common, and their checks."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING

from ...placement.devices import DTYPES
from ..rendering.kernel_options import SPEED_WORDS

if TYPE_CHECKING:
    from ...config.avatar import AvatarConfig


DECODERS = ("own", "tae", "quarter")
"""What decodes where the networks are random."""


def add_model(part: argparse.ArgumentParser) -> None:
    """Add the option that names the sizes of the networks."""
    part.add_argument(
        "--model", default="full", help="sizes: 'full', 'tiny' or a folder of weights"
    )


def add_execution(part: argparse.ArgumentParser) -> None:
    """Add the options of a part that measures calls of networks one by one."""
    part.add_argument(
        "--speed", choices=SPEED_WORDS, default="auto", help="execution mode of the networks"
    )
    part.add_argument("--repeats", type=int, default=5, help="measured calls of each")
    part.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 ...")
    part.add_argument("--dtype", choices=("auto", *DTYPES), default="auto")


def sizes_of(model: str) -> AvatarConfig:
    """Return the sizes of the networks that ``--model`` names."""
    from ...config.avatar import AvatarConfig
    from ...weights.load import open_avatar

    return AvatarConfig() if model == "full" else open_avatar(model).config


def with_decoder(config: AvatarConfig, decoder: str) -> AvatarConfig:
    """Return the sizes with another decoder, as ``--decoder`` names it: one of :data:`DECODERS`."""
    vae = config.vae
    if decoder == "tae":
        vae = replace(vae, light_widths=(256, 128, 64, 64), light_blocks=3, light_patch=1)
    elif decoder == "quarter":
        vae = replace(vae, dim=vae.dim // 4, light_widths=())
    return replace(config, vae=vae)


def count_ranks(args: argparse.Namespace, reason: str) -> int:
    """Return the processes that ``--ranks`` and ``--cpu`` ask for.

    Args:
        args: Of the part; its repeats are checked, too.
        reason: Says why one rank is too few.

    Raises:
        InvalidInputError: If there are too few GPUs, ranks or repeats.
    """
    import torch

    from ...errors import require

    gpus = 0 if args.cpu else torch.cuda.device_count()
    ranks: int = args.ranks if args.ranks is not None else max(gpus, 2)
    require(args.repeats >= 1, f"repeats {args.repeats}: use 1 or more")
    require(ranks >= 2, f"ranks {ranks}: {reason} 2 or more")
    require(
        args.cpu or ranks <= gpus,
        f"ranks {ranks}: this machine has {gpus} GPU(s); use fewer, or --cpu",
    )
    return ranks
