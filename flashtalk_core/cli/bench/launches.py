"""``bench launches``: what launching kernels costs a step and the audio encoder."""

from __future__ import annotations

import argparse
import logging
from dataclasses import asdict
from typing import TYPE_CHECKING

from ...placement.devices import choose_device, choose_dtype
from ..rendering.render_options import parse_size
from ..tables import print_parts
from .shared_options import add_execution, add_model, sizes_of

if TYPE_CHECKING:
    from ...bench.launches.steps import StepRow

logger = logging.getLogger(__name__)

SIZES_PX = ((256, 160), (384, 224), (512, 512), (720, 416), (768, 448))


def add_launches(parts: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the part."""
    text = (
        "a step at several sizes and the audio encoder with random weights, launched kernel by "
        "kernel and as CUDA graphs"
    )
    part = parts.add_parser("launches", help=text, description=text)
    add_model(part)
    part.add_argument("--sizes", type=parse_size, nargs="+", metavar="HxW", default=SIZES_PX)
    part.add_argument("--no-float8", action="store_true", help="in the dtype only, not in FP8 too")
    part.add_argument("--attention", default="auto", help="kernel")
    add_execution(part)
    part.set_defaults(run=run_launches)


def run_launches(args: argparse.Namespace) -> int:
    """Measure; 0 if graphs compute the same to the bit, else 1."""
    from ...acceleration.attention_kernels import choose_attention
    from ...acceleration.support import choose_kernel_options
    from ...bench.launches.encoder import measure_encoder
    from ...bench.launches.steps import measure_steps
    from ...bench.random_networks import random_networks
    from ...bench.stages import ExecutionMode, switch
    from ...errors import require
    from ...geometry import check_size
    from ...models.attention import sdpa
    from ...placement.memory_choice import check_choice
    from ...placement.memory_plan import MemoryChoice

    require(args.repeats >= 1, f"repeats {args.repeats}: use 1 or more")
    for size_px in args.sizes:
        check_size(size_px)
    device = choose_device(args.device)
    dtype = choose_dtype(args.dtype, device)
    check_choice(MemoryChoice(float8=not args.no_float8), device)
    attention = choose_attention(args.attention, device)
    options = choose_kernel_options(args.speed, device)
    config = sizes_of(args.model)
    networks = random_networks(config, sdpa, device, dtype)
    modes = {str(dtype).removeprefix("torch."): ExecutionMode(options, attention)}
    if not args.no_float8:  # last: layers that became FP8 stay so
        modes["float8"] = ExecutionMode(options, attention, float8=True)
    steps: list[StepRow] = []
    for name, mode in modes.items():
        logger.info("measuring: %s", name)
        switch(networks, mode)
        steps.extend(measure_steps(networks, name, args.sizes, args.repeats))
    encoder = list(measure_encoder(networks, args.repeats))
    print_parts(args, {"steps": list(map(asdict, steps)), "encoder": list(map(asdict, encoder))})
    are_equal = [row.equal for row in steps] + [row.equal for row in encoder]
    return 0 if all(are_equal) else 1
