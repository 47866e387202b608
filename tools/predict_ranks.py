"""What a chunk should take on several H200, from rates of one: ``python -m tools.predict_ranks``.

Nothing here is a measurement of several GPUs. Of one H200 are measured: matrix products, attention
and the absorbed audio of a block at the sizes that a rank of 1, 2, 3, 4 and 8 has, and a whole
chunk; of two H200: what an exchange takes by its bytes (docs/performance_log.md). What a step takes
beyond these rates is divided evenly. It is assumed that links among more than two GPUs are as fast
as those between two, and that small convolutions are as efficient as large ones. ``--measured``
compares with files of ``bench ranks --json``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from pathlib import Path

NUM_BLOCKS = 40
WIDTH = 5120
NUM_TOKENS = 12_096
"""Of 768x448, at which the rates were measured."""
NEW_FRAMES = 28
PRODUCTS_MS = {
    "bfloat16": {1: 9.58, 2: 5.01, 3: 3.20, 4: 2.43, 8: 1.26},
    "float8": {1: 4.77, 2: 2.52, 3: 1.65, 4: 1.28, 8: 0.69},
}
"""Matrix products of a block, by the number of ranks among which its tokens are divided."""
ATTENTION_MS = {1: 4.11, 2: 2.31, 3: 1.76, 4: 1.25, 8: 0.58}
"""Self-attention of a block over all tokens, for the heads of a rank: 40, 20, 14, 10 or 5."""
AUDIO_MS = {1: 0.47, 2: 0.25, 3: 0.18, 4: 0.14, 8: 0.08}
"""Absorbed audio attention of a block."""
EXCHANGE_MS = (
    (0.0, 0.28), (13.5, 0.28), (15.5, 0.31), (23.2, 0.36), (31.0, 0.33), (40.6, 0.35),
    (46.5, 0.37), (69.7, 0.47), (92.9, 0.55),
)  # fmt: skip
"""All-to-all, eager: megabytes that a rank sends, and milliseconds."""
HALO_MS = 0.21
"""Rows to a neighbour and back, eager, 1 to 3 MB."""
GATHER_MS = 0.35
"""Keys or values of the autoencoder's attention, 37 MB."""
LAUNCH_MS = 66.0
"""Time of one core for launching the kernels of a step one by one."""
DECODE_EXCHANGES, ENCODE_EXCHANGES = 19, 15
"""Units of layers in a call, each of which needs rows of its neighbours."""
HALO_ROWS = 2
LEVELS = ((1, 0.05), (2, 0.19), (4, 0.38), (8, 0.38))
"""Rows of pixels for each latent row, and the share of operations done at that size."""
DEVICES = (1, 2, 3, 4, 8)
MODE_NAMES = {"bfloat16": "bf16", "float8": "FP8"}


@dataclass(frozen=True)
class Size:
    """A size of video."""

    name: str
    """Height x width."""
    latent_rows: int
    num_tokens: int
    pixels_ms: float
    """Colours, and frames to the host, on one device."""


@dataclass(frozen=True)
class OneDevice:
    """What one H200 takes, milliseconds; ``bench ranks`` measured it on 29 November 2026."""

    size: Size
    mode: str
    step_ms: float
    decode_ms: float
    encode_ms: float


LARGE = Size("768x448", 96, NUM_TOKENS, 6.6)
SMALL = Size("720x416", 90, 10_530, 6.0)
SETTINGS = (
    OneDevice(LARGE, "bfloat16", 706.7, 251.5, 28.7),
    OneDevice(LARGE, "float8", 490.8, 250.1, 29.3),
    OneDevice(SMALL, "bfloat16", 582.9, 220.3, 25.3),
    OneDevice(SMALL, "float8", 410.5, 225.4, 25.8),
)
UNDIVIDED_MS = 10.0
"""Audio encoder and projection less what overlaps: a chunk of one device less its other parts."""


@dataclass(frozen=True)
class Prediction:
    """Milliseconds of a chunk and its parts."""

    step_ms: float
    decode_ms: float
    encode_ms: float
    chunk_ms: float

    @property
    def frames_per_s(self) -> float:
        """New frames a second."""
        return NEW_FRAMES / self.chunk_ms * 1000


def predict(one: OneDevice, ranks: int, steps: int) -> Prediction:
    """Return what a chunk should take on ``ranks`` devices, which are among :data:`DEVICES`."""
    step = predict_step(one, ranks)
    decode = _banded(one.decode_ms, one.size.latent_rows, ranks, DECODE_EXCHANGES)
    encode = _banded(one.encode_ms, one.size.latent_rows, ranks, ENCODE_EXCHANGES)
    chunk = steps * step + decode + encode + UNDIVIDED_MS + one.size.pixels_ms / ranks
    return Prediction(step, decode, encode, chunk)


def predict_step(one: OneDevice, ranks: int) -> float:
    """Return milliseconds of a step; no fewer than launching it takes."""
    share = one.size.num_tokens / NUM_TOKENS
    products = PRODUCTS_MS[one.mode]
    rates = {
        number: products[number] * share
        + ATTENTION_MS[number] * share**2
        + AUDIO_MS[number] * share
        for number in (1, ranks)
    }
    rest_ms = one.step_ms / NUM_BLOCKS - rates[1]
    block_ms = rates[ranks] + rest_ms / ranks
    if ranks > 1:
        sent_mb = sent_bytes(one.size.num_tokens, ranks) / 1e6
        block_ms += exchange_ms(sent_mb * 3 / 4) + exchange_ms(sent_mb / 4)
    return max(LAUNCH_MS, NUM_BLOCKS * block_ms)


def sent_bytes(num_tokens: int, ranks: int) -> float:
    """Return what a rank sends in a block: queries, keys and values, then the result, in bf16."""
    return 4 * num_tokens / ranks * WIDTH * 2 * (ranks - 1) / ranks


def exchange_ms(sent_mb: float) -> float:
    """Return the time of an all-to-all, between the measured points."""
    for (low_mb, low_ms), (high_mb, high_ms) in pairwise(EXCHANGE_MS):
        if sent_mb <= high_mb:
            return low_ms + (high_ms - low_ms) * (sent_mb - low_mb) / (high_mb - low_mb)
    return EXCHANGE_MS[-1][1] * sent_mb / EXCHANGE_MS[-1][0]


def _banded(whole_ms: float, rows: int, ranks: int, num_exchanges: int) -> float:
    """Return the time of the largest band, its halo and its exchanges included."""
    if ranks == 1:
        return whole_ms
    sides = 1 if ranks == 2 else 2
    band = ceil(rows / ranks)
    shares = (part * (band * scale + sides * HALO_ROWS) / (rows * scale) for scale, part in LEVELS)
    return whole_ms * sum(shares) + num_exchanges * HALO_MS + 2 * GATHER_MS


def prediction_table() -> Iterator[str]:
    """Yield rows of Markdown, predictions in italics; efficiency is that of 4 steps."""
    yield (
        "| size | mode | devices | step, ms | decode | encode | chunk, 4 steps | frames/s "
        "| efficiency | chunk, 2 steps | frames/s |"
    )
    yield "|" + "---|" * 11
    for one in SETTINGS:
        whole = predict(one, 1, 4)
        for ranks in DEVICES:
            four, two = (predict(one, ranks, steps) for steps in (4, 2))
            efficiency = whole.chunk_ms / four.chunk_ms / ranks
            cells = (
                *(f"{ms:,.0f}" for ms in (four.step_ms, four.decode_ms, four.encode_ms)),
                *(f"{four.chunk_ms:,.0f}", f"{four.frames_per_s:.1f}", f"{efficiency:.0%}"),
                *(f"{two.chunk_ms:,.0f}", f"{two.frames_per_s:.1f}"),
            )
            shown = " | ".join(f"*{cell}*" for cell in cells)
            yield f"| {one.size.name} | {MODE_NAMES[one.mode]} | {ranks} | {shown} |"


def comparison_table(paths: list[Path]) -> Iterator[str]:
    """Yield rows of Markdown: measured, predicted, and the difference of a chunk."""
    yield "| size | mode | steps | devices | chunk measured, ms | *predicted* | difference |"
    yield "|" + "---|" * 7
    settings = {(one.size.name, one.mode): one for one in SETTINGS}
    rows = [row for path in paths for row in json.loads(path.read_text("utf-8"))["summaries"]]
    for row in rows:
        if row["division"] not in ("one device", "ulysses, rows"):
            continue
        size, steps, _ = row["setting"].split(":")
        mode, devices, measured = (row[name] for name in ("mode", "devices", "chunk_ms"))
        found = predict(settings[size, mode], devices, int(steps)).chunk_ms
        yield (
            f"| {size} | {MODE_NAMES[mode]} | {steps} | {devices} | {measured:,.0f} "
            f"| *{found:,.0f}* | {measured / found - 1:+.1%} |"
        )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measured", type=Path, nargs="+", help="files of bench ranks --json")
    args = parser.parse_args()
    rows = comparison_table(args.measured) if args.measured else prediction_table()
    print("\n".join(rows))  # noqa: T201


if __name__ == "__main__":
    main()
