"""``experiment``: the table of Stage 2; cells that are done are not done again."""

from __future__ import annotations

import argparse
import importlib.util
import logging
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from .evaluate import check_report, parse_count, require_folder

if TYPE_CHECKING:
    from ..experiment.table import Experiment

logger = logging.getLogger(__name__)

_TABLE = Path("docs/training/experiment.toml")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    text = "compare training recipes of Stage 2; finished cells are not repeated"
    parser = subparsers.add_parser("experiment", help=text, description=text)
    parser.add_argument(
        "action", choices=("run", "report"), help="measure the cells, or write the report"
    )
    parser.add_argument(
        "--table", type=Path, default=_TABLE, help="recipes to train and what to measure"
    )
    parser.add_argument(
        "--results",
        type=Path,
        help="file with a line for each cell; default: .jsonl next to the table",
    )
    parser.add_argument(
        "--docs",
        type=Path,
        help="folder for report and plots; default: the folder of table and results",
    )
    parser.add_argument("--data", type=Path, default=Path("data"), help="corpus and tokenizer")
    parser.add_argument(
        "--runs",
        type=Path,
        default=Path("runs"),
        help="folder of Stage 1; students are saved in it",
    )
    parser.add_argument("--device", default="auto", help="cuda: all GPUs; cuda:1: this one")
    parser.add_argument("--workers", type=parse_count, default=1, help="parallel processes")
    parser.add_argument(
        "--part-s", type=float, default=1e9, help="start no cell after these seconds"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Fill the table or write the report; 1 if cells are missing."""
    from flashtalk_core.errors import require

    from ..experiment.table import load_experiment

    require(args.part_s > 0, f"--part-s {args.part_s} must be above 0")
    experiment = load_experiment(args.table)
    results = args.results or args.table.with_suffix(".jsonl")
    if args.action == "report":
        _report(experiment, args.table, results, args.docs)
        return 0
    check_report(results)
    from flashtalk_core.placement.devices import choose_device

    from ..experiment.run import run_experiment
    from ..recipe import TinyRecipe, tiny_config
    from ..stages import TrainingFiles, TrainingJob

    files = TrainingFiles(args.data / "corpus.safetensors", args.data / "spiece.model", args.runs)
    job = TrainingJob(tiny_config(), TinyRecipe(), files, choose_device(args.device))
    prepare = partial(logging.basicConfig, level=logging.INFO, format="%(message)s")
    done = run_experiment(experiment, job, results, args.workers, args.part_s, prepare)
    return 0 if done else 1


def _report(experiment: Experiment, table: Path, results: Path, chosen: Path | None) -> None:
    """Write the report; raise if it would take the place of another table's."""
    from flashtalk_core.errors import require
    from flashtalk_core.packages import missing_package

    from ..experiment.report import write_experiment
    from ..experiment.table import missing, read_results

    require(results.is_file(), f"results {results}: no such file; `experiment run` makes it")
    require(
        importlib.util.find_spec("matplotlib") is not None,
        f"the report draws figures: {missing_package('matplotlib')}",
    )
    cells = {cell.key for cell in experiment.cells()}
    read = read_results(results)
    there = cells & {result.get("key") for result in read}
    require(
        bool(there),
        f"results {results}: none of the {len(cells)} cells of {table}; give its own with "
        f"--results, or run the table first",
    )
    folder = chosen or _folder_of(table, results)
    require_folder("--docs", folder)
    write_experiment(experiment, read, folder)
    cut_short = len(missing(experiment, read)) - (len(cells) - len(there))
    remark = f", {cut_short} of them cut short" if cut_short else ""
    logger.info("%d of %d cells%s, written to %s", len(there), len(cells), remark, folder)


def _folder_of(table: Path, results: Path) -> Path:
    """Return the folder of a table and its results; raise if it is not theirs alone."""
    from flashtalk_core.errors import require

    folder = results.parent
    require(
        folder.resolve() == table.parent.resolve(),
        f"results {results} and table {table} lie in two folders; name the one that table and "
        "plots go to with --docs",
    )
    others = sorted(path.name for path in folder.glob("*.toml") if path.name != table.name)
    require(
        not others,
        f"{folder}: holds {', '.join(others)} next to {table.name}, whose report could be there; "
        "name a folder with --docs",
    )
    return folder
