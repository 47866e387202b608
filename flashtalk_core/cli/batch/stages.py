"""What every batch does, wherever it renders: plan, check, report, render, write down."""

from __future__ import annotations

import argparse
import logging
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..program import describe
from ..terminal import write_out

if TYPE_CHECKING:
    from ...batch.results import ResultFile
    from ...batch.row_reader import RowReader
    from ...batch.rows import BatchRow, CheckedRow, FaultyRow, LookAtRow, RowWorkers

    Checked = CheckedRow | FaultyRow

logger = logging.getLogger(__name__)


def plan_manifest(
    args: argparse.Namespace,
    reader: RowReader,
    names: Collection[str],
    defaults: Mapping[str, Any],
) -> list[BatchRow | FaultyRow]:
    """Return the rows of a manifest.

    Args:
        args: Its path, and where videos go.
        reader: Makes their specs.
        names: Options that a row may set.
        defaults: Values of rows that have none of their own; ``None`` is none.
    """
    from ...batch.manifest import read_manifest
    from ...batch.planning import RowFolders, plan_rows

    manifest: Path = args.manifest
    folder = manifest.absolute().parent
    folders = RowFolders(
        manifest=folder,
        output=folder if args.output_folder is None else args.output_folder.absolute(),
    )
    given = {name: value for name, value in defaults.items() if value is not None}
    return plan_rows(read_manifest(manifest, names), reader.read, folders, given)


def finish_batch(
    args: argparse.Namespace,
    rows: list[BatchRow | FaultyRow],
    look: LookAtRow,
    make_workers: Callable[[], RowWorkers],
) -> int:
    """Check all rows, and render those that are not done.

    Args:
        args: ``--results``, ``--dry-run`` and ``--again``.
        rows: The batch.
        look: Checks what a row renders.
        make_workers: Makes what renders; called where there is something to render.

    Returns:
        0 if every row is done, or with ``--dry-run`` can be rendered, else 1.
    """
    from ...batch.results import ResultFile, results_path

    results = ResultFile(args.results or results_path(args.manifest))
    if args.dry_run:
        results.check_writable()
        return _report(_check(rows, look, results, again=args.again))
    try:
        with results.opened():  # before the check: what is done is what no other batch changes
            checked = _check(rows, look, results, again=args.again)
            return _render(checked, results, make_workers)
    except KeyboardInterrupt as stop:
        stop.add_note("the same command goes on with what is missing")
        raise


def _check(
    rows: list[BatchRow | FaultyRow], look: LookAtRow, results: ResultFile, *, again: bool
) -> list[Checked]:
    from ...batch.check import check_rows
    from .checking import Checking

    checked = []
    with Checking(len(rows)) as progress:
        for found in check_rows(rows, look, results, again=again):
            progress.add()
            checked.append(found)
    return checked


def _report(checked: list[Checked]) -> int:
    """Print what a run would do; 0 if every row can be rendered, else 1."""
    from ...batch.rows import FaultyRow

    lines = []
    for each in checked:
        if isinstance(each, FaultyRow):
            lines.append(f"row {each.number}: error: {describe(each.error)[0]}")
        else:
            state = "done already" if each.is_done else f"{each.num_frames} frames to render"
            lines.append(f"row {each.row.number}: {state}, {each.row.output}")
            lines += (f"row {each.row.number}: note: {note}" for note in each.notes)
    kinds = Counter(_kind(each) for each in checked)
    write_out("\n".join([*lines, _summary(kinds, "to render")]))
    return 1 if kinds["failed"] else 0


def _kind(each: Checked) -> str:
    from ...batch.rows import FaultyRow

    if isinstance(each, FaultyRow):
        return "failed"
    return "done" if each.is_done else "left"


def _summary(kinds: Counter[str], left: str) -> str:
    """Return how many rows are in which state."""
    words = {"done": "done", "failed": "failed", "left": left}
    parts = [f"{kinds[kind]} {word}" for kind, word in words.items() if kinds[kind]]
    total = sum(kinds.values())
    return f"{total} {'row' if total == 1 else 'rows'}: {', '.join(parts)}"


def _render(
    checked: list[Checked], results: ResultFile, make_workers: Callable[[], RowWorkers]
) -> int:
    from ...batch.rows import FaultyRow
    from ...batch.run import in_order, result_of_faulty
    from .watch import Watch

    kinds = Counter(_kind(each) for each in checked)
    wanted: list[CheckedRow] = []
    for each in checked:
        if isinstance(each, FaultyRow):
            result = result_of_faulty(results, each)
            results.add(result)
            logger.warning("row %s: failed: %s", each.number, result.error)
        elif each.is_done:
            results.confirm(each.row.output)
        else:
            wanted.append(each)
            for note in each.notes:
                logger.warning("%s", note)
    if wanted:
        if kinds["done"]:
            logger.info("%d of %d rows are done already", kinds["done"], len(checked))
        with Watch(wanted, results) as watch:
            make_workers().render_all(in_order(wanted), watch)
        kinds = kinds + watch.kinds - Counter(left=len(wanted))
    logger.info("%s; results in %s", _summary(kinds, "left"), results.path)
    return 1 if kinds["failed"] else 0
