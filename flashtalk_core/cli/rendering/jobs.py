"""``jobs``: interrupted renders are listed, resumed and removed."""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import InvalidInputError, require
from ...excerpt import format_size, shown_path
from ..tables import print_rows
from .device_options import add_limit_options, limits_of
from .render_options import parse_path
from .running import OpenEngine, render_job

if TYPE_CHECKING:
    from ...engine.plan import Engine
    from ...jobs.folder import HalfJob
    from ...jobs.leftovers import Leftover

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Jobs:
    """The command; see :class:`.program.Command`."""

    open_engine: Callable[..., AbstractContextManager[Engine]]
    """Gives what goes on with a render; an :class:`OpenEngine` that also takes ``limits``."""

    def add_parser(self, subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
        """Add the command."""
        text = "list, resume or remove interrupted renders"
        parser = subparsers.add_parser("jobs", help=text, description=text)
        actions = parser.add_subparsers(dest="action", required=True, metavar="action")
        text = "list the interrupted renders of a folder"
        part = actions.add_parser("list", help=text, description=text)
        part.add_argument(
            "folder", type=parse_path, nargs="?", default=Path(), help="default: this one"
        )
        part.add_argument("--json", action="store_true", help="print JSON")
        part.set_defaults(run=run_list)
        text = "go on with an interrupted render, as the command that began it would"
        part = actions.add_parser("resume", help=text, description=text)
        part.add_argument("video", type=parse_path, help="video that it was to write, .mp4")
        add_limit_options(part)
        part.set_defaults(run=self._resume)
        text = "remove interrupted renders and what was rendered of them"
        part = actions.add_parser("remove", help=text, description=text)
        part.add_argument(
            "video", type=parse_path, nargs="*", help="video that it was to write, .mp4"
        )
        part.add_argument(
            "--leftovers",
            type=parse_path,
            nargs="?",
            const=Path(),
            metavar="FOLDER",
            help="remove what stopped renders have left in a folder (default: this one) and no "
            "render goes on with, as `jobs list` shows it",
        )
        part.set_defaults(run=run_remove)

    def _resume(self, args: argparse.Namespace) -> int:
        return run_resume(args, partial(self.open_engine, limits=limits_of(args)))


def run_list(args: argparse.Namespace) -> int:
    """Print a row for each interrupted render and each file others left, and what they take."""
    from ...jobs.folder import MAX_JOBS, list_jobs
    from ...jobs.leftovers import list_leftovers

    folder = args.folder
    with _readable(folder):
        jobs, leftovers = list_jobs(folder), list_leftovers(folder)
    if not jobs and not leftovers:
        logger.info("%s: no interrupted renders", folder.absolute())
        return 0
    print_rows(args, [*map(_row, jobs), *map(_leftover_row, leftovers)])
    total = format_size(sum(job.num_bytes for job in jobs))
    logger.info("%d interrupted renders, %s; at most %d go on", len(jobs), total, MAX_JOBS)
    if leftovers:
        logger.info(
            "%d files of stopped renders that no render goes on with, %s; `jobs remove "
            "--leftovers` followed by the folder removes them",
            len(leftovers),
            format_size(sum(each.num_bytes for each in leftovers)),
        )
    return 0


def run_resume(args: argparse.Namespace, open_engine: OpenEngine) -> int:
    """Render what is missing."""
    from ...engine.render import describe
    from ...engine.resolve import LocalHost, resolve
    from ...jobs.extend import removing_joined_audio
    from ...jobs.job import Job, JobOptions

    job = _found(args.video)
    if job.record is None:
        raise InvalidInputError(f"{job.problem}; render it again")
    record = job.record
    require(
        record.spec.portrait is not None,
        f"video {shown_path(args.video)}: its portrait or audio came from a graph; run the same "
        "prompt in ComfyUI, which goes on with it",
    )
    with removing_joined_audio(job.output) if job.is_extension else nullcontext():
        plan = resolve(record.spec, LocalHost())
        options = JobOptions(crf=record.crf, metadata={"comment": describe(plan)})
        render_job(Job(plan, record.spec, job.output.final, options), plan, open_engine)
    return 0


def run_remove(args: argparse.Namespace) -> int:
    """Remove states and partial videos."""
    from ...jobs.folder import remove_job

    require(
        bool(args.video) or args.leftovers is not None,
        "jobs remove: nothing is named; name the videos of interrupted renders, or use --leftovers",
    )
    jobs = [_found(video) for video in args.video]  # all of them are there before one is removed
    for job in jobs:
        try:
            remove_job(job)
        except OSError as error:
            raise InvalidInputError(
                f"{shown_path(job.output.state)}: it cannot be removed ({error.strerror})"
            ) from error
        logger.info("removed the interrupted render of %s", job.output.final)
    if args.leftovers is not None:
        _remove_leftovers(args.leftovers)
    return 0


def _remove_leftovers(folder: Path) -> None:
    from ...jobs.leftovers import remove_leftovers

    with _readable(folder):
        removed = remove_leftovers(folder)
    for each in removed:
        logger.info("removed %s, %s", each.path, format_size(each.num_bytes))
    if not removed:
        logger.info("%s: nothing is left of stopped renders", folder.absolute())


@contextmanager
def _readable(folder: Path) -> Iterator[None]:
    """Check a folder, and say in one line what the system does not let be read or removed."""
    require(folder.is_dir(), f"folder {shown_path(folder)}: no such folder; name one")
    try:
        yield
    except OSError as error:
        where = shown_path(error.filename or folder)
        raise InvalidInputError(
            f"{where}: it cannot be read or removed ({error.strerror})"
        ) from error


def _found(video: Path) -> HalfJob:
    from ...files.output_path import OutputPath, output_of, unwritable
    from ...files.whole_file import written_target
    from ...jobs.folder import find_job

    try:
        # The file that is seen in the folder is the partial one.
        job = find_job(output_of(video) or OutputPath(written_target(video)))
    except OSError as error:
        raise unwritable(video, error) from error
    if job is None:
        raise InvalidInputError(
            f"video {shown_path(video)}: no interrupted render of it is there; `jobs list` "
            "followed by its folder lists them"
        )
    return job


def _row(job: HalfJob) -> dict[str, Any]:
    record = job.record
    row = {"video": shown_path(job.output.final.name), "MB": round(job.num_bytes / 1e6, 1)}
    if record is None:
        return row | {"frames": 0, "of": 0, "runs": 0, "last saved": "damaged"}
    saved = time.strftime("%Y-%m-%d %H:%M", time.localtime(record.saved_s))
    counts = {"frames": record.num_frames, "of": record.total_frames, "runs": record.num_attempts}
    return row | counts | {"last saved": saved}


def _leftover_row(leftover: Leftover) -> dict[str, Any]:
    row = {"video": shown_path(leftover.path.name), "MB": round(leftover.num_bytes / 1e6, 1)}
    return row | {"frames": leftover.num_frames, "of": 0, "runs": 0, "last saved": "leftover"}
