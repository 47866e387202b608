"""``bench soak``: renders that go on for hours, or follow each other by the hundred."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ...errors import require
from ..rendering.render_options import EXAMPLE, parse_path, parse_size
from ..tables import print_rows

if TYPE_CHECKING:
    from ...engine.spec import RenderSpec

logger = logging.getLogger(__name__)

_REPORTED_SHARE = 0.1
_MOST_HOURS = 72
_FRAME_MS = 40


def add_soak(parts: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the parts."""
    text = "renders that go on for hours, or follow each other by the hundred (Linux)"
    soak = parts.add_parser("soak", help=text, description=text)
    kinds = soak.add_subparsers(dest="soak", required=True, metavar="soak")
    _add_day(kinds)
    _add_large(kinds)
    _add_renders(kinds)
    _add_hour(kinds)
    for part in kinds.choices.values():
        part.add_argument("--json", action="store_true", help="print JSON")


def _add_day(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "a day of video with a stand-in for the networks: counters, times, growth"
    part = kinds.add_parser("day", help=text, description=text)
    part.add_argument("--hours", type=float, default=24.0, help="length of the video")
    part.add_argument("--rate", type=int, default=48_000, help="of the audio, Hz")
    part.add_argument("--parts", type=int, default=2, help="runs; all but the last are interrupted")
    part.add_argument(
        "--growing", action="store_true", help="the length of the audio is unknown; in one run"
    )
    _add_folder(part)
    part.set_defaults(run=run_day)


def _add_large(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "a file of more than 4 GiB"
    part = kinds.add_parser("large", help=text, description=text)
    part.add_argument("--seconds", type=float, default=210.0, help="of noise, 22 MB each")
    _add_folder(part)
    part.set_defaults(run=run_large)


def _add_renders(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "renders in one process, one after the other"
    part = kinds.add_parser("renders", help=text, description=text)
    part.add_argument("--count", type=int, default=200, help="of renders")
    part.add_argument("--duration", type=float, default=0.4, help="of each, seconds")
    _add_model(part, "32x32")
    part.set_defaults(run=run_renders)


def _add_hour(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "an hour of speech through a model, in parts that may be interrupted"
    part = kinds.add_parser("hour", help=text, description=text)
    part.add_argument("--minutes", type=float, default=60.0, help="of speech")
    part.add_argument("--chunks", type=int, help="end after so many; default: to the end")
    part.add_argument("--plot", type=parse_path, help="picture to write, .png")
    _add_model(part, None)
    _add_folder(part, "the same command goes on there")
    part.set_defaults(run=run_hour)


def _add_model(part: argparse.ArgumentParser, size: str | None) -> None:
    part.add_argument("--model", default="tiny", help="'tiny' or a folder of weights")
    part.add_argument(
        "--size",
        type=parse_size,
        metavar="HxW",
        default=None if size is None else parse_size(size),
        help=f"default: {size or 'the size of the model'}",
    )
    part.add_argument("--steps", type=int, default=1, help="default: 1")
    part.add_argument("--device", default="cpu", help="default: cpu")


def _add_folder(part: argparse.ArgumentParser, more: str = "") -> None:
    text = f"where files go; {more}" if more else "where files go; they are removed"
    part.add_argument("--folder", type=parse_path, help=f"{text}; default: a temporary one")


def run_day(args: argparse.Namespace) -> int:
    """Render, measure; 0 if all is exact, else 1."""
    from ...bench.soak import day, readings

    readings.check_system()
    require(
        0 < args.hours <= _MOST_HOURS, f"hours {args.hours}: use more than 0, up to {_MOST_HOURS}"
    )
    require(args.parts >= 1, f"parts {args.parts}: use 1 or more")
    parts = 1 if args.growing else args.parts
    with _folder(args) as name:
        found = day.run_day(
            Path(name), args.hours, args.rate, parts, is_growing=args.growing, report=_report()
        )
    _print(args, found, found.passed)
    return 0 if found.passed else 1


def run_large(args: argparse.Namespace) -> int:
    """Write, measure; 0 if the file is large and exact, else 1."""
    from ...bench.soak import large, readings

    readings.check_system()
    with _folder(args) as name:
        found = large.run_large(Path(name), args.seconds, _report())
    _print(args, found, found.passed)
    return 0 if found.passed else 1


def run_renders(args: argparse.Namespace) -> int:
    """Render again and again; 0 if the process stays as it was, else 1."""
    from ...bench.soak import readings, renders

    readings.check_system()
    with TemporaryDirectory() as name:
        found = renders.run_renders(Path(name), _spec(args, args.duration), args.count, _report())
    _print(args, found, found.slopes.is_steady)
    return 0 if found.slopes.is_steady else 1


def run_hour(args: argparse.Namespace) -> int:
    """Render what is missing; measure once the video is complete.

    0 if all is exact and the process steady, else 1.
    """
    from ...bench.soak import hour, readings
    from ...bench.soak.speech import write_speech
    from ...engine.resolve import LocalHost, resolve
    from ...geometry import num_video_frames

    readings.check_system()
    with _folder(args) as name:
        folder = Path(name)
        speech, video = folder / "speech.flac", folder / "hour.mp4"
        click_s = write_speech(speech, EXAMPLE / "speech.wav", 60 * args.minutes)
        spec = _spec(args, None, speech)
        plan = resolve(spec, LocalHost())
        first_s = hour.run_part(plan, spec, video, args.chunks, _report())
        if not video.is_file():
            logger.info("%s: interrupted; the same command goes on", video)
            return 0
        assert plan.audio.num_samples is not None, "the speech is a file"
        total = num_video_frames(plan.audio.num_samples, plan.audio.rate_hz, 25)
        found = hour.measure_hour(video, total, click_s, first_s or 0.0)
        if args.plot is not None:
            _plot(args.plot, video)
    is_whole = found.num_frames == total and found.is_exact
    is_in_time = abs(found.end_offset_ms) <= _FRAME_MS
    passed = is_whole and is_in_time and found.slopes.is_steady
    _print(args, found, passed)
    return 0 if passed else 1


def _plot(path: Path, video: Path) -> None:
    from ...bench.soak.hour import minutes_of, read_readings, readings_path
    from ...bench.soak.plot import draw_curves

    rows = read_readings(readings_path(video))
    draw_curves(
        path,
        [minutes_of(row) for row in rows],
        {
            "distance of the mean colour from the portrait, over minutes": [r.colour for r in rows],
            "1 - correlation with the portrait": [r.structure for r in rows],
            "resident memory, MB": [r.rss_mb for r in rows],
        },
    )


def _spec(
    args: argparse.Namespace, duration_s: float | None, audio: Path | None = None
) -> RenderSpec:
    from ...engine.spec import ModelSpec, PlacementSpec, RenderSpec, SamplingSpec, Speaker

    return RenderSpec(
        portrait=str(EXAMPLE / "portrait.png"),
        speakers=(Speaker(audio=str(audio or EXAMPLE / "speech.wav")),),
        duration_s=duration_s,
        size_px=args.size,
        sampling=SamplingSpec(steps=args.steps),
        model=ModelSpec(name=args.model),
        placement=PlacementSpec(device=args.device),
    )


def _folder(args: argparse.Namespace) -> Any:
    """Return a context that gives a folder, and removes it if it is a temporary one."""
    from contextlib import nullcontext

    if args.folder is None:
        return TemporaryDirectory()
    args.folder.mkdir(parents=True, exist_ok=True)
    return nullcontext(args.folder)


def _report() -> Callable[[int, int], None]:
    """Return what logs how far it is, now and then."""
    next_share = 0.0

    def report(done: int, total: int) -> None:
        nonlocal next_share
        if done >= next_share * total:
            next_share = done / total + _REPORTED_SHARE
            logger.info("%d of %d", done, total)

    return report


def _print(args: argparse.Namespace, found: Any, passed: bool) -> None:
    row = asdict(found)
    slopes = row.pop("slopes")
    print_rows(args, [row | slopes | {"passed": passed}])
