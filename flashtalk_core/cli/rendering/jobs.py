"""``jobs``: interrupted renders are listed, resumed and removed."""

from __future__ import annotations

import argparse
import logging
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import InvalidInputError, require
from ...excerpt import shown_path
from ..tables import print_rows
from .render_options import parse_path
from .running import OpenEngine, render_job

if TYPE_CHECKING:
    from ...jobs.folder import HalfJob

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Jobs:
    """The command; see :class:`.program.Command`."""

    open_engine: OpenEngine
    """Gives what goes on with a render."""

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
        part.set_defaults(run=self._resume)
        text = "remove interrupted renders and what was rendered of them"
        part = actions.add_parser("remove", help=text, description=text)
        part.add_argument(
            "video", type=parse_path, nargs="+", help="video that it was to write, .mp4"
        )
        part.set_defaults(run=run_remove)

    def _resume(self, args: argparse.Namespace) -> int:
        return run_resume(args, self.open_engine)


def run_list(args: argparse.Namespace) -> int:
    """Print a row for each interrupted render, and what they take together."""
    from ...jobs.folder import MAX_JOBS, list_jobs

    require(args.folder.is_dir(), f"folder {shown_path(args.folder)}: no such folder; name one")
    try:
        jobs = list_jobs(args.folder)
    except OSError as error:
        raise InvalidInputError(
            f"folder {shown_path(args.folder)}: it cannot be read ({error.strerror})"
        ) from error
    if not jobs:
        logger.info("%s: no interrupted renders", args.folder.absolute())
        return 0
    print_rows(args, list(map(_row, jobs)))
    total = sum(job.num_bytes for job in jobs) / 1e6
    logger.info("%d interrupted renders, %.1f MB; at most %d go on", len(jobs), total, MAX_JOBS)
    return 0


def run_resume(args: argparse.Namespace, open_engine: OpenEngine) -> int:
    """Render what is missing."""
    from ...engine.render import describe
    from ...engine.resolve import LocalHost, resolve
    from ...jobs.job import Job, JobOptions
    from ...jobs.joined_audio import has_joined_audio, removing_joined_audio

    job = _found(args.video)
    if job.record is None:
        raise InvalidInputError(f"{job.problem}; render it again")
    record = job.record
    require(
        record.spec.portrait is not None,
        f"video {shown_path(args.video)}: its portrait or audio came from a graph; run the same "
        "prompt in ComfyUI, which goes on with it",
    )
    is_extended = has_joined_audio(job.output, record.spec)
    with removing_joined_audio(job.output) if is_extended else nullcontext():
        plan = resolve(record.spec, LocalHost())
        options = JobOptions(crf=record.crf, metadata={"comment": describe(plan)})
        render_job(Job(plan, record.spec, job.output.final, options), plan, open_engine)
    return 0


def run_remove(args: argparse.Namespace) -> int:
    """Remove states and partial videos."""
    from ...jobs.folder import remove_job

    jobs = [_found(video) for video in args.video]  # all of them are there before one is removed
    for job in jobs:
        try:
            remove_job(job)
        except OSError as error:
            raise InvalidInputError(
                f"{shown_path(job.output.state)}: it cannot be removed ({error.strerror})"
            ) from error
        logger.info("removed the interrupted render of %s", job.output.final)
    return 0


def _found(video: Path) -> HalfJob:
    from ...files.output_path import OutputPath, unwritable
    from ...files.whole_file import written_target
    from ...jobs.folder import find_job

    try:
        job = find_job(OutputPath(written_target(video)))
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
