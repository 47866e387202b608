"""Measures over many chunks: drift away from the portrait, and recovery from damage.

Axis legend: B sessions, F frames, M motion frames, H W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Generator, Tensor

from flashtalk_core.config.sampling import SamplingConfig
from flashtalk_core.weights.load import AvatarModels

from ..drawn_faces.damage import DAMAGES, damage
from ..drawn_faces.drift import measure_drift, measure_sharpness
from ..drawn_faces.head import find_heads
from ..speech.corpus_file import Corpus
from ..stage_2.rollout import Portraits, Roller
from .batched_sessions import HeldOutFaces, Sessions

_ROWS = (1, 2, 5, 10, 25, 50, 75, 100, 200, 500, 1000, 2000)
"""Chunks that are reported."""
_AVERAGED_FROM, _AVERAGED = 10, 5
"""Chunk from which on a row is the mean over as many chunks that end with it."""
_ASKED_EVERY = 50
"""Chunks after which a run asks whether to go on."""
RECOVERY_CHUNKS = 6
"""In which a session should be back from damage."""
_UNDAMAGED = "none"
_RECOVERED = {"colour_delta_e": 1.0, "structure": 0.02, "softness": 0.05}
"""How much worse than after an undamaged start a chunk may be and count as recovered."""


def evaluate_drift(
    models: AvatarModels,
    corpus: Corpus,
    sampling: SamplingConfig,
    chunks: int,
    held_out: HeldOutFaces,
    is_over: Callable[[], bool] | None = None,
) -> list[dict[str, float]]:
    """Chain many chunks of held-out speech and compare some of them with the portraits.

    Args:
        models: The model.
        corpus: Its held-out part speaks.
        sampling: How to denoise.
        chunks: How many.
        held_out: Whose faces.
        is_over: Called now and then; once true, the run ends. ``None`` for a whole run.

    Returns:
        One row for each of some chunks: means over faces and, from the tenth chunk on, over the
        five chunks that end with it, and the deviation between faces.
    """
    sessions, portraits = held_out.talking(models, corpus, sampling)
    spans = {
        end: range(end - 1 if end < _AVERAGED_FROM else end - _AVERAGED, end)
        for end in (*(row for row in _ROWS if row < chunks), chunks)
    }
    wanted = {chunk for span in spans.values() for chunk in span}
    seen: dict[int, dict[str, Tensor]] = {}
    for chunk, frames in sessions.glance(sorted({*wanted, *range(0, chunks, _ASKED_EVERY)})):
        if chunk in wanted:
            seen[chunk] = {**compare(frames[:, 1:], portraits), **_changes(frames)}
        if is_over is not None and is_over():
            break
    return [
        _drift_row(end, [seen[chunk] for chunk in span])
        for end, span in spans.items()
        if all(chunk in seen for chunk in span)
    ]


def _drift_row(end: int, seen: list[dict[str, Tensor]]) -> dict[str, float]:
    row = {"chunk": float(end)}
    for name in seen[0]:
        value = torch.stack([values[name] for values in seen]).mean(dim=0)
        row[name] = float(value.mean())
        row[f"{name}_deviation"] = float(value.std()) if len(value) > 1 else 0.0
    return row


def compare(frames: Tensor, portraits: Tensor) -> dict[str, Tensor]:
    """Measure sessions against their portraits.

    Args:
        frames: ``(B, F, 3, H, W)`` in ``[0, 1]``.
        portraits: ``(B, 3, H, W)``.

    Returns:
        Distances of several kinds, ``(B,)`` each, 0 for the portrait itself.
    """
    drift, heads = measure_drift(frames, portraits[:, None]), find_heads(frames, portraits)
    sharpness = measure_sharpness(frames) / measure_sharpness(portraits)[:, None]
    return {
        "colour_delta_e": drift.colour.mean(dim=1),
        "structure": drift.structure.mean(dim=1),
        # Most frames are without a blink.
        "identity": heads.unlike.median(dim=1).values,
        "softness": 1 - sharpness.mean(dim=1),
    }


def _changes(frames: Tensor) -> dict[str, Tensor]:
    """Return how much moves, and the change across the join over that, ``(B,)`` each.

    Args:
        frames: The last frame before the join and those after it, ``(B, 1 + F, 3, H, W)``.
    """
    change = (frames[:, 1:] - frames[:, :-1]).abs().mean(dim=(2, 3, 4))
    movement = change[:, 1:].mean(dim=1)
    return {"movement": movement, "join_jump": change[:, 0] / movement}


def evaluate_recovery(
    models: AvatarModels,
    corpus: Corpus,
    sampling: SamplingConfig,
    chunks: int,
    held_out: HeldOutFaces,
) -> dict[str, Any]:
    """Start sessions from damaged motion frames and measure in how many chunks they recover.

    Returns:
        For each damage, and for none: rows of the first chunks; for each damage the chunk from
        which on all of them have recovered, 1 for the first, or ``None``.
    """
    results: dict[str, Any] = {}
    for kind in (_UNDAMAGED, *DAMAGES):
        sessions, portraits = held_out.talking(models, corpus, sampling)
        start = _start_frames(portraits, kind, models.config.chunk.num_motion_frames)
        rows = list(_rows(sessions, portraits, chunks, start))
        results[kind] = {"start": _means(compare(start[1], portraits)), "rows": rows}
        if kind != _UNDAMAGED:
            results[kind]["recovered_in_chunk"] = _recovered(rows, results[_UNDAMAGED]["rows"])
    return results


@torch.no_grad()
def evaluate_round_trips(
    models: AvatarModels, sampling: SamplingConfig, round_trips: int, held_out: HeldOutFaces
) -> list[dict[str, float]]:
    """Repeat VAE round trips of still motion frames: encode, decode, match the colours.

    This is how a session would drift if its transformer repeated its motion frames.

    Returns:
        A row for each round trip: means over faces.
    """
    vae, config = models.vae, models.config
    portraits = held_out.portraits(config.size_px).to(next(vae.parameters()))
    roller = Roller.around(vae, config, sampling)
    encoded = Portraits.encode(vae, portraits * 2 - 1, sampling.colour_area)
    frames, _ = _start_frames(portraits, _UNDAMAGED, config.chunk.num_motion_frames)
    rows = []
    for trip in range(1, round_trips + 1):
        frames = roller.show(roller.next_motion(frames), encoded)
        shown = (frames.transpose(1, 2) + 1) / 2
        rows.append({"trip": float(trip), **_means(compare(shown, portraits))})
    return rows


def _start_frames(portraits: Tensor, kind: str, count: int) -> tuple[Tensor, Tensor]:
    """Return damaged frames ``(B, 3, M, H, W)`` in ``[-1, 1]``, and as images in ``[0, 1]``."""
    frames = (portraits * 2 - 1)[:, :, None].expand(-1, -1, count, -1, -1).contiguous()
    if kind != _UNDAMAGED:
        frames = damage(frames, kind, Generator().manual_seed(0))
    return frames, (frames.transpose(1, 2) + 1) / 2


def _rows(
    sessions: Sessions, portraits: Tensor, chunks: int, start: tuple[Tensor, Tensor]
) -> Iterator[dict[str, float]]:
    for frames in sessions.play(chunks, start[0]):
        yield _means(compare(frames, portraits))


def _means(values: dict[str, Tensor]) -> dict[str, float]:
    return {name: float(value.mean()) for name, value in values.items()}


def _recovered(rows: list[dict[str, float]], good: list[dict[str, float]]) -> int | None:
    """Return the first chunk, from 1, from which on no row is much worse than ``good``."""
    fine = [
        all(row[name] <= other[name] + margin for name, margin in _RECOVERED.items())
        for row, other in zip(rows, good, strict=True)
    ]
    bad = [index for index, is_fine in enumerate(fine, start=1) if not is_fine]
    first = bad[-1] + 1 if bad else 1
    return first if first <= len(rows) else None
