"""Rows an hour of a batch, against a process for each render."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .render_process import run_command
from .signals import write_babble

EXAMPLE = Path(__file__).parents[1] / "assets" / "example" / "portrait.png"


@dataclass(frozen=True)
class BatchMeasure:
    """What was measured."""

    num_rows: int
    row_s: float
    """Length of each video, seconds."""
    single_s: float
    """Time of a process for each row, one after another, start to end."""
    batch_s: float
    """Time of one batch of the same rows, in one process, check and loading included."""
    single_rows_per_hour: float
    batch_rows_per_hour: float
    ratio: float
    """Rows an hour of the batch over those of single renders."""


def measure_batch(
    num_rows: int, row_s: float, folder: Path, options: Sequence[str] = ()
) -> BatchMeasure:
    """Render rows of one portrait and babble both ways.

    Args:
        num_rows: How many.
        row_s: Length of each, seconds.
        folder: Where to write.
        options: Of ``render``, for all rows.
    """
    audio = folder / "babble.flac"
    write_babble(audio, row_s)
    files = ["--image", str(EXAMPLE), "--audio", str(audio)]
    start_s = time.monotonic()
    for row in range(num_rows):
        run_command(
            "render", *files, "-o", str(folder / f"{row}.mp4"), "--seed", str(row), *options
        )
    single_s = time.monotonic() - start_s
    manifest = folder / "rows.jsonl"
    rows = [{"seed": row, "output": "batch-{row}.mp4"} for row in range(num_rows)]
    manifest.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    start_s = time.monotonic()
    run_command("batch", str(manifest), *files, *options)
    batch_s = time.monotonic() - start_s
    return BatchMeasure(
        num_rows=num_rows,
        row_s=row_s,
        single_s=single_s,
        batch_s=batch_s,
        single_rows_per_hour=3600 * num_rows / single_s,
        batch_rows_per_hour=3600 * num_rows / batch_s,
        ratio=single_s / batch_s,
    )
