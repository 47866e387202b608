"""``bench cards``: chunks of the full-size model within the memory of smaller cards."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from typing import Any

from ...placement.devices import DTYPES, choose_device, choose_dtype
from ..rendering.kernel_options import SPEED_WORDS, add_switches, read_disabled
from ..rendering.render_options import parse_size
from ..tables import format_rows
from ..terminal import write_message, write_out
from .shared_options import add_model, sizes_of

CARDS_GB = (80.0, 48.0, 32.0, 24.0, 16.0, 12.0)
MAX_CARD_GB = 10_000.0


def add_cards(parts: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the part."""
    text = (
        "memory, weights moved and seconds a chunk with random weights, with the memory of "
        "each GPU, less 1.5 GB (limited on CUDA only)"
    )
    part = parts.add_parser("cards", help=text, description=text)
    add_model(part)
    part.add_argument(
        "--cards", type=float, nargs="*", default=CARDS_GB, help="memory of each GPU, GB (1e9)"
    )
    part.add_argument("--size", type=parse_size, metavar="HxW", help="default: the model's")
    part.add_argument("--steps", type=int, default=4)
    part.add_argument("--decode-latents", type=int, default=1, help="latent frames decoded at once")
    part.add_argument("--attention", default="auto", help="attention kernel")
    part.add_argument(
        "--speed", choices=SPEED_WORDS, default="auto", help="execution mode of the networks"
    )
    add_switches(part)
    part.add_argument("--no-float8", action="store_true", help="plan as on a GPU without FP8")
    part.add_argument(
        "--weights",
        choices=("dense", "q8_0", "q4_k"),
        default="dense",
        help="form of the transformer's weights in its file",
    )
    part.add_argument("--warmups", type=int, default=1, help="unmeasured chunks")
    part.add_argument("--repeats", type=int, default=3, help="measured chunks")
    part.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 ...")
    part.add_argument("--dtype", choices=("auto", *DTYPES), default="auto")
    part.set_defaults(run=run_cards)


def run_cards(args: argparse.Namespace) -> int:
    """Measure each card; 0 if every plan fits and gives the same steps, else 1."""
    from ...acceleration.attention_kernels import choose_attention
    from ...acceleration.support import choose_kernel_options
    from ...bench.cards import SYSTEM_GB, CardBench, bench_cards
    from ...errors import require
    from ...geometry import check_size
    from ...quantization.fp8 import fp8_unsupported_reason

    counts = {name: getattr(args, name) for name in ("steps", "warmups", "repeats")}
    for name, count in (counts | {"decode latents": args.decode_latents}).items():
        require(count >= 1, f"{name} {count}: use 1 or more")
    for card_gb in args.cards:
        require(
            SYSTEM_GB < card_gb < MAX_CARD_GB,
            f"card {card_gb:g} GB: use more than {SYSTEM_GB:g} GB, which is left to the system, "
            f"and less than {MAX_CARD_GB:g} GB",
        )
    device = choose_device(args.device)
    kernel_options = choose_kernel_options(args.speed, device).without(read_disabled(args))
    config = sizes_of(args.model)
    size_px = args.size or config.size_px
    check_size(size_px)
    bench = CardBench(
        config=config,
        attention=choose_attention(args.attention, device),
        kernel_options=kernel_options,
        device=device,
        dtype=choose_dtype(args.dtype, device),
        size_px=size_px,
        num_decode_latents=args.decode_latents,
        cards_gb=args.cards,
        weights=args.weights,
        fp8_unsupported="left out" if args.no_float8 else fp8_unsupported_reason(device),
        **counts,
    )
    rows = []
    for row in bench_cards(bench):
        values = asdict(row)
        rows.append(values)
        short = {name: value for name, value in values.items() if name != "stages"}
        write_message(sys.stderr, format_rows([short]) + "\n\n")
    if args.json:
        write_out(json.dumps(rows, indent=1))
    else:
        write_out(format_rows([_short(values) for values in rows]))
    return 0 if all(values["passed"] for values in rows) else 1


def _short(row: dict[str, Any]) -> dict[str, Any]:
    """Return the columns of the table, empty for a card whose plan did not fit."""
    columns = (
        "card_gb", "limit_gb", "float8", "packed", "resident_blocks", "slabs", "held_gb",
        "tensors_gb", "expected_gb", "chunk_s", "step_ms", "moved_gb", "estimate_25gb_s",
        "same_steps", "passed",
    )  # fmt: skip
    return {name: row.get(name, "") for name in columns}
