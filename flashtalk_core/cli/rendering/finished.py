"""``render --extend`` and ``render --redo``: more of a video that is finished."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import InvalidInputError, require
from ...excerpt import shown_path
from ...files.paths import is_file
from .running import OpenEngine, render_job, shown_on

if TYPE_CHECKING:
    from ...engine.plan import RenderPlan
    from ...engine.spec import RenderSpec

logger = logging.getLogger(__name__)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    group = parser.add_argument_group("more of a finished video")
    group.add_argument(
        "--extend",
        type=Path,
        metavar="VIDEO",
        help="finished video that goes on with --audio; the whole becomes --output",
    )
    group.add_argument(
        "--redo",
        metavar="CHUNKS",
        help="chunks of the finished video --output that are rendered again, such as 12 or 12-14; "
        "the audio is its own unless --audio is given",
    )


def check_options(args: argparse.Namespace) -> None:
    """Check what goes together.

    Raises:
        InvalidInputError: If it does not, or a file is missing.
    """
    require(
        args.extend is None or args.redo is None,
        "--extend and --redo: one at a time; extend the video first",
    )
    require(
        args.extend is None or not (args.speaker or args.speaker_start),
        "--extend with --speaker: the finished video has the sum of both voices, and its last "
        "frames need each; render the whole again with longer audio of both",
    )
    require(
        args.redo is None or not args.speaker or args.audio or have_audio(args.speaker),
        "--redo with --speaker: the finished video has the sum of both voices; name the audio of "
        "each, such as left:voice.wav",
    )
    require(
        args.image is not None,
        "--image: none is given; name the portrait that the video was rendered from",
    )
    for name in ("soundtrack", "upscale"):
        require(
            getattr(args, name) is None,
            f"--{name} with --extend or --redo: a finished video goes on with its own sound and "
            "the frames that were generated; leave it out, or render all of it again",
            subject=name,
        )
    if args.redo is not None:
        require(
            is_file(args.output),
            f"video {shown_path(args.output)}: no such file; --redo takes a finished video as -o",
        )
    if args.extend is not None:
        require(args.audio is not None, "--audio: none is given; name what the video goes on with")
        require(
            args.extend.resolve() != args.output.resolve(),
            f"output {shown_path(args.output)}: this is the video that goes on; name another one",
        )
    elif args.start or args.duration is not None:
        raise InvalidInputError(
            "--start, --duration: the audio of the whole video is needed; leave them out"
        )


def have_audio(speakers: Sequence[str]) -> bool:
    """Return whether every speaker that is named has audio of their own."""
    from ...engine.speakers.text import read_speakers

    return bool(speakers) and all(each.audio for each in read_speakers(speakers, ""))


@contextmanager
def removing_audio(args: argparse.Namespace) -> Iterator[None]:
    """Remove the audio of an extended video at the end, unless its render can go on.

    Raises:
        OutputError: If the video cannot be written; before anything is.
        InvalidInputError: If that would replace what it is made from.
    """
    if args.extend is None:
        yield
        return
    from ...files.output_path import check_output, check_spared
    from ...jobs.extend import removing_joined_audio

    output = check_output(args.output)
    check_spared(output, (args.extend, args.image, args.audio))
    with removing_joined_audio(output):
        yield


def audio_of(args: argparse.Namespace) -> Path:
    """Return the audio of the whole video.

    That of an extended video is written beside the output.
    """
    if args.extend is None:
        return Path(args.audio or args.output)
    from ...files.output_path import check_output, unwritable
    from ...media.audio.appended import append_audio
    from ...media.video.stored import open_stored

    open_stored(args.extend)
    target = check_output(args.output).audio
    try:
        append_audio(args.extend, args.audio, target, args.start, args.duration)
    except OSError as error:
        raise unwritable(target, error) from error
    return target


def run_extend(
    args: argparse.Namespace, spec: RenderSpec, plan: RenderPlan, open_engine: OpenEngine
) -> int:
    """Render what follows a finished video."""
    from ...engine.render import describe
    from ...jobs.extend import begin_extended
    from ...jobs.job import Job, JobOptions
    from ...media.video.stored import open_stored

    metadata = {"comment": describe(plan)}
    options = JobOptions(
        crf=args.crf,
        metadata=metadata,
        start_anew=args.start_anew,
        otherwise=f"begins with {shown_path(args.extend)}",
    )
    job = Job(plan, spec, args.output, options)
    if not job.num_done:
        stored = open_stored(args.extend)
        begin_extended(stored, plan, spec, args.output, key=job.key, crf=args.crf)
        job = Job(plan, spec, args.output, replace(options, start_anew=False))
        assert job.num_done, "what was left is what an interrupted render leaves"
    render_job(job, plan, open_engine)
    return 0


def run_redo(args: argparse.Namespace, plan: RenderPlan, open_engine: OpenEngine) -> int:
    """Render some chunks of a finished video again."""
    from ...jobs.redo import ChunkRange, redo_chunks
    from ...media.video.stored import open_stored
    from ..progress import Progress

    chunks, stored = ChunkRange.parse(args.redo), open_stored(args.output)
    count = (chunks.last - chunks.first + 1) * plan.chunk.num_new_frames
    with ExitStack() as stack:
        progress = Progress(count, plan.chunk)
        events = shown_on(progress, stack)
        engine = stack.enter_context(open_engine(plan, events))
        output = redo_chunks(
            stored,
            plan,
            chunks,
            engine,
            crf=args.crf,
            events=events,
        )
    logger.info("wrote %s, chunks %s are new", output.final, args.redo)
    return 0


def spec_of(args: argparse.Namespace, spec: RenderSpec) -> RenderSpec:
    """Return a spec with the audio of the whole video."""
    if len(spec.speakers) > 1:
        return spec  # with --redo, each with the audio of the whole video
    speaker = replace(spec.speakers[0], audio=str(audio_of(args)))
    return replace(spec, speakers=(speaker,), start_s=0.0, duration_s=None)
