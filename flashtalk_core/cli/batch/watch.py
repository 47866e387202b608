"""Events of a batch as bars, log lines and results."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from ...batch.results import ResultFile
from ...batch.rows import CheckedRow, Outcome
from ...batch.run import result_of
from ..progress import format_minutes
from .progress import BatchProgress

logger = logging.getLogger(__name__)


class Watch:
    """Writes down how each row ends, and shows how far all are; :class:`.rows.BatchEvents`."""

    def __init__(self, rows: Sequence[CheckedRow], results: ResultFile) -> None:
        """Show nothing yet.

        Args:
            rows: What is rendered.
            results: Open.
        """
        self._results = results
        self._progress = BatchProgress(len(rows), sum(row.num_frames for row in rows))
        self.kinds: Counter[str] = Counter(left=len(rows))
        """Rows that are done, failed and left."""

    def __enter__(self) -> Self:
        self._progress.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.__exit__(kind, exception, traceback)

    def started(self, row: CheckedRow) -> None:
        """Show that a row is rendered."""
        self._progress.started(row)

    def resumed(self, row: CheckedRow, count: int) -> None:
        """Say from where a row goes on."""
        name, total = f"row {row.row.number}", row.num_frames
        logger.info("%s: goes on after frame %d of %d of an interrupted run", name, count, total)
        self._progress.resumed(row, count)

    def frames(self, row: CheckedRow, count: int) -> None:
        """Count frames of a row."""
        self._progress.add(row, count)

    def ended(self, row: CheckedRow, outcome: Outcome) -> None:
        """Write down how a row ended; see :class:`.rows.BatchEvents`."""
        result = result_of(self._results, row, outcome)
        self._results.add(result)
        kind = "left" if outcome.status == "stopped" else outcome.status
        self.kinds += Counter({kind: 1})
        self.kinds -= Counter(left=1)
        name = f"row {row.row.number}"
        if outcome.status == "done":
            took, count = format_minutes(outcome.seconds), outcome.num_frames - outcome.num_resumed
            which = f"{count} of {outcome.num_frames}" if outcome.num_resumed else f"{count}"
            logger.info("%s: %s, %s frames in %s", name, row.row.output, which, took)
        elif outcome.status == "failed":
            logger.warning("%s: failed: %s", name, outcome.error)
        else:
            logger.info("%s: stopped; %s", name, outcome.error or "nothing of it is left")
        self._progress.ended(row)
