"""``render``: one portrait and one recording become one video."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from ...errors import about
from ...excerpt import shown_path
from ..collection import uncollected
from . import finished
from .crop_picture import save_face_picture
from .device_options import add_device_options, limits_of, say_unused
from .render_options import add_render_options, parse_path, read_spec
from .running import render_job

if TYPE_CHECKING:
    from ...engine.events import RenderEvents
    from ...engine.plan import Engine, RenderPlan
    from ...engine.spec import RenderSpec
    from ...placement.memory_plan import MemoryChoice

logger = logging.getLogger(__name__)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    text = "render a talking video from a portrait and a recording of speech"
    parser = subparsers.add_parser("render", help=text, description=text)
    parser.add_argument(
        "-o", "--output", type=parse_path, required=True, help="video to write, .mp4"
    )
    parser.add_argument(
        "--start-anew",
        action="store_true",
        help="do not go on with an interrupted render of this output, begin again",
    )
    finished.add_options(parser)
    add_render_options(parser)
    add_device_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Check everything, load, render."""
    if args.extend is not None or args.redo is not None:
        finished.check_options(args)
    with finished.removing_audio(args):
        return _run(args)


def _run(args: argparse.Namespace) -> int:
    with uncollected():
        spec, plan = _checked(args)
    from ...engine.render import describe
    from ...jobs.job import Job, JobOptions

    engine = partial(open_engine, limits=limits_of(args))
    if args.extend is not None:
        return finished.run_extend(args, spec, plan, engine)
    if args.redo is not None:
        return finished.run_redo(args, plan, engine)
    options = JobOptions(
        crf=args.crf, metadata={"comment": describe(plan)}, start_anew=args.start_anew
    )
    render_job(Job(plan, spec, args.output, options), plan, engine)
    return 0


def _checked(args: argparse.Namespace) -> tuple[RenderSpec, RenderPlan]:
    """Import what renders, check everything, and say what should be known."""
    from ...engine.notes import set_up_notes
    from ...jobs.spec_paths import source_files

    spec, plan = make_plan(args)
    for note in set_up_notes(plan):
        logger.warning("%s", note)
    if plan.request.face is not None:
        save_face_picture(plan.request.face, args.output, source_files(spec))
    return spec, plan


@contextmanager
def open_engine(
    plan: RenderPlan, events: RenderEvents, limits: Mapping[str, float] | None = None
) -> Iterator[Engine]:
    """Return what renders a plan; processes that it starts end with the context.

    ``limits`` are fields of :class:`.runtime.limits.Limits`.
    """
    from ...engine.build import LocalEngine
    from ...engine.encoding_cache import EncodingMemo
    from ...placement.residency import CachedNetworks

    place = plan.placement
    if not place.devices and not place.cluster:
        say_unused(limits or {})
        networks = CachedNetworks(plan.checkpoint, place, events, reads_ahead=True)
        yield LocalEngine(networks, EncodingMemo())
        return
    from ...runtime.fleet import Fleet
    from ...runtime.limits import Limits

    if place.cluster:
        from ...runtime.cluster.process import engine_at

        fleet = engine_at(place, limits)
    else:
        fleet = Fleet(place.devices, Limits(**(limits or {})))
    try:
        yield fleet
    finally:
        fleet.close()


def make_plan(args: argparse.Namespace) -> tuple[RenderSpec, RenderPlan]:
    """Check what the user gave, where the video goes first; return it as a spec and its plan."""
    from ...engine.resolve import LocalHost, resolve
    from ...files.output_path import check_output, check_spared
    from ...jobs.spec_paths import source_files
    from ...media.video.video_track import check_crf

    output = check_output(args.output)
    check_crf(args.crf)
    spec = read_spec(args)
    _check_unused_audio(args)
    if args.redo is None:
        check_spared(output, source_files(spec))
    if args.extend is not None or args.redo is not None:
        spec = finished.spec_of(args, spec)
    plan = resolve(spec, LocalHost())
    _log_choices(args, spec.placement.memory, plan)
    return spec, plan


def _check_unused_audio(args: argparse.Namespace) -> None:
    """Say that ``--audio`` has no effect where each speaker has their own; it has to be there."""
    if args.audio is None or not finished.have_audio(args.speaker):
        return
    from ...engine.speakers.text import UNUSED_AUDIO
    from ...files.paths import check_file

    with about("speakers"):
        check_file(args.audio, "audio")
    logger.warning("--audio %s: %s", shown_path(args.audio), UNUSED_AUDIO)


def _log_choices(args: argparse.Namespace, choice: MemoryChoice, plan: RenderPlan) -> None:
    missing = [name for name in ("image", "audio") if getattr(args, name) is None]
    if finished.have_audio(args.speaker):
        missing = [name for name in missing if name != "audio"]
    if missing and args.redo is None:  # which takes the audio of the video
        options = " and ".join(f"--{name}" for name in missing)
        logger.info("without %s: the bundled example is used", options)
    if plan.placement.memory.reason:
        logger.info("memory %s: %s", choice, plan.placement.memory.reason)
