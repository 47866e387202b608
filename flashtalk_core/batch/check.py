"""Checks of all rows before any weights are read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch

from ..engine.notes import set_up_notes
from ..engine.plan import RenderPlan
from ..engine.plan import fingerprint as hash_of
from ..engine.resolve import (
    Host,
    Inputs,
    OpenedModel,
    find_backend,
    find_loras,
    open_model,
    resolve,
)
from ..engine.spec import RenderSpec
from ..errors import FlashTalkError, InvalidInputError, about
from ..excerpt import reason
from ..geometry import num_video_frames
from ..jobs.spec_paths import source_files
from ..media.video.video_track import check_crf
from .outputs import OutputFolders
from .results import ResultFile
from .rows import (
    BatchRow,
    CheckedRow,
    FaultyRow,
    LookAtRow,
    ModelKey,
    RowFacts,
    model_key,
)


class Models:
    """Opened models of a batch: headers of their files are read once, not for each row."""

    def __init__(self, host: Host) -> None:
        """Open nothing yet."""
        self._host = host
        self._opened: dict[ModelKey, OpenedModel] = {}

    def plan(self, spec: RenderSpec) -> RenderPlan:
        """Check a spec; see :func:`resolve`."""
        return resolve(spec, self._host, Inputs(model=self.open(spec)))

    def open(self, spec: RenderSpec) -> OpenedModel:
        """Return the model of a spec.

        Raises:
            FlashTalkError: If it cannot be used, or not on that device.
        """
        key = model_key(spec)
        if key not in self._opened:
            loras = find_loras(spec.model, self._host)
            backend = find_backend(spec.placement, self._host)
            with about("model"):
                files = self._host.find_files(spec.model)
            self._opened[key] = open_model(files, loras, backend, spec.placement, self._host)
        return self._opened[key]


def facts_of(plan: RenderPlan, crf: int) -> RowFacts:
    """Return what the plan of a row says of its video."""
    total = plan.audio.total_samples
    assert total is not None, "the audio was measured"
    return RowFacts(
        fingerprint=hash_of(plan=plan.video_fingerprint(), crf=crf),
        num_frames=num_video_frames(total, plan.audio.rate_hz, plan.chunk.frame_rate_hz),
        notes=tuple(set_up_notes(plan)),
    )


def check_rows(
    rows: Iterable[BatchRow | FaultyRow],
    look: LookAtRow,
    results: ResultFile | None = None,
    *,
    again: bool = False,
) -> Iterator[CheckedRow | FaultyRow]:
    """Check row after row; images and audio are read, weights are not.

    Args:
        rows: The batch.
        look: Checks what a row renders.
        results: Of earlier runs; ``None`` is none.
        again: Whether rows that are done count as not done.
    """
    folders = OutputFolders()

    def look_at_all(row: BatchRow) -> RowFacts:
        check_crf(row.crf)
        folders.check(row.output, (row.image, row.audio, *source_files(row.spec)))
        return look(row)

    for row in rows:
        yield row if isinstance(row, FaultyRow) else _check(row, look_at_all, results, again)


def _check(
    row: BatchRow, look: LookAtRow, results: ResultFile | None, again: bool
) -> CheckedRow | FaultyRow:
    try:
        facts = look(row)
    except (FlashTalkError, torch.OutOfMemoryError, MemoryError, OSError, ValueError) as error:
        return FaultyRow(row.number, _known(error), row.output, row.image, row.audio)
    is_done = results is not None and results.is_done(facts.fingerprint, row.output)
    return CheckedRow(
        row=row,
        fingerprint=facts.fingerprint,
        num_frames=facts.num_frames,
        is_done=is_done and not again,
        notes=(*row.notes, *facts.notes),
    )


def _known(error: Exception) -> FlashTalkError:
    """Return what is wrong with a row: its names may be any text, and disks may fail."""
    if isinstance(error, FlashTalkError):
        return error
    if isinstance(error, OSError | ValueError):
        return InvalidInputError(f"{reason(error)}; check the names and the values of the row")
    return FlashTalkError(str(error))
