"""``lips``: the mouth of a drawn face in a video against the true track of its speech."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from flashtalk_core.cli.rendering.render_options import parse_input
from flashtalk_core.cli.tables import print_rows


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    text = "compare the mouth of a drawn face in a video with the track of its speech"
    parser = subparsers.add_parser("lips", help=text, description=text)
    parser.add_argument("video", type=parse_input, help="rendered video")
    parser.add_argument(
        "track",
        type=parse_input,
        help="mouth track, JSON such as flashtalk_core/assets/example/speech.track.json",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Compare the mouth in a video with its track; 0 if in step at both ends, else 1."""
    from ..evaluation.lips import compare_lips, is_in_step, measure_openings, read_track

    track = read_track(args.track)
    results = compare_lips(measure_openings(args.video), track)
    print_rows(args, [asdict(result) for result in results])
    return 0 if is_in_step(results) else 1
