"""The command: rows of a manifest, rendered here."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ...batch.row_reader import RowReader
from .options import add_options
from .slots import find_slots
from .stages import finish_batch, plan_manifest

if TYPE_CHECKING:
    from ...batch.rows import BatchRow, RowFacts, RowWorkers
    from ...placement.place import Placement
    from ...runtime.fleet import Fleet
    from .slots import Slot


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    text = "render many videos of one list; a second run renders what is missing or failed"
    parser = subparsers.add_parser("batch", help=text, description=text)
    add_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Check everything, then render; 0 if every row is done, else 1."""
    from ...batch.check import Models, facts_of
    from ...engine.resolve import LocalHost

    slots = find_slots(args)
    has_device = slots[0].device is None
    reader = RowReader(args.manifest.absolute().parent, vars(args), has_device=has_device)
    defaults = {
        "image": None if args.image is None else str(args.image.absolute()),
        "audio": None if args.audio is None else str(args.audio.absolute()),
        "output": args.output,
        "seed": args.seed,
        "speaker": args.speaker or None,
    }
    rows = plan_manifest(args, reader, reader.names, defaults)
    models = Models(LocalHost())

    def look(row: BatchRow) -> RowFacts:
        # As the first device renders it.
        return facts_of(models.plan(slots[0].apply(row.spec)), row.crf)

    return finish_batch(args, rows, look, lambda: _workers(slots, args.step_limit))


def _workers(slots: list[Slot], step_limit_s: float | None) -> RowWorkers:
    """Return what renders rows; nothing is started yet."""
    # What hangs in this process cannot be ended; an engine in a cluster has a limit of its own.
    is_limited = step_limit_s is not None and not slots[0].cluster
    if len(slots) > 1 or is_limited:
        from ...batch_workers.pool import ProcessPool

        return ProcessPool([slot.apply for slot in slots], step_limit_s)
    from ...batch.renderer import RowRenderer
    from ...batch.run import LocalWorker

    def open_cluster(place: Placement) -> Fleet:
        from ...runtime.cluster.process import engine_at

        return engine_at(place, {} if step_limit_s is None else {"step_s": step_limit_s})

    return LocalWorker(RowRenderer(slots[0].apply, open_cluster))
