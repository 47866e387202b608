"""The command: check all rows, render those that are missing, write down how each ended."""

from __future__ import annotations

import argparse
import logging
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from ..program import describe
from ..terminal import write_out
from .options import add_options

if TYPE_CHECKING:
    from ...batch.results import ResultFile
    from ...batch.rows import BatchRow, CheckedRow, FaultyRow, RowWorkers
    from ...placement.place import Placement
    from ...runtime.fleet import Fleet
    from .slots import Slot

    Checked = CheckedRow | FaultyRow

logger = logging.getLogger(__name__)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    text = "render many videos of one list; a second run renders what is missing or failed"
    parser = subparsers.add_parser("batch", help=text, description=text)
    add_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Check everything, then render; 0 if every row is done, else 1."""
    from ...batch.results import ResultFile, results_path
    from .slots import find_slots

    slots = find_slots(args)
    rows = _plan(args, slots)
    results = ResultFile(args.results or results_path(args.manifest))
    checked = _check(args, rows, slots[0], results)
    if args.dry_run:
        return _report(checked)
    with results.opened():
        return _render(checked, results, slots, args)


def _plan(args: argparse.Namespace, slots: list[Slot]) -> list[BatchRow | FaultyRow]:
    from ...batch.manifest import read_manifest
    from ...batch.planning import RowFolders, plan_rows
    from .row_reader import RowReader

    manifest: Path = args.manifest
    folder = manifest.absolute().parent
    reader = RowReader(folder, args, has_device=len(slots) == 1)
    folders = RowFolders(
        manifest=folder,
        output=folder if args.output_folder is None else args.output_folder.absolute(),
    )
    defaults = {
        "image": None if args.image is None else str(args.image.absolute()),
        "audio": None if args.audio is None else str(args.audio.absolute()),
        "output": args.output,
        "seed": args.seed,
    }
    given = {name: value for name, value in defaults.items() if value is not None}
    return plan_rows(read_manifest(manifest, reader.names), reader.read, folders, given)


def _check(
    args: argparse.Namespace,
    rows: list[BatchRow | FaultyRow],
    slot: Slot,
    results: ResultFile,
) -> list[Checked]:
    """Check all rows as the first device would render them."""
    from ...batch.check import Models, check_rows
    from ...engine.resolve import LocalHost
    from .checking import Checking

    models = Models(LocalHost())
    with Checking(len(rows)) as progress:
        checked = []
        for found in check_rows(
            rows, lambda row: models.plan(slot.apply(row.spec)), results, again=args.again
        ):
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
    checked: list[Checked], results: ResultFile, slots: list[Slot], args: argparse.Namespace
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
        elif not each.is_done:
            wanted.append(each)
            for note in each.notes:
                logger.warning("%s", note)
    if wanted:
        with Watch(wanted, results) as watch:
            _workers(slots, args.step_limit).render_all(in_order(wanted), watch)
        kinds = kinds + watch.kinds - Counter(left=len(wanted))
    logger.info("%s; results in %s", _summary(kinds, "left"), results.path)
    return 1 if kinds["failed"] else 0


def _workers(slots: list[Slot], step_limit_s: float | None) -> RowWorkers:
    """Return what renders rows; nothing is started yet."""
    if len(slots) > 1:
        from ...batch_workers.pool import ProcessPool

        return ProcessPool([slot.apply for slot in slots], step_limit_s)
    from ...batch.renderer import RowRenderer
    from ...batch.run import LocalWorker

    def open_cluster(place: Placement) -> Fleet:
        from ...runtime.cluster.process import engine_at

        return engine_at(place, step_limit_s)

    return LocalWorker(RowRenderer(slots[0].apply, open_cluster))
