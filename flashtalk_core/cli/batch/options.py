"""Options of ``batch``."""

from __future__ import annotations

import argparse

from ..rendering.device_options import device_list
from ..rendering.render_options import add_render_options, parse_path


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add all options; those of ``render`` hold for every row that does not set its own."""
    parser.add_argument(
        "manifest", type=parse_path, help="rows as CSV with a header, or as JSON lines (.jsonl)"
    )
    parser.add_argument(
        "-o",
        "--output",
        help="name of a row's video, with {row}, {image}, {audio} or {seed} in it; default: "
        "{audio}.mp4",
    )
    parser.add_argument(
        "--output-folder",
        type=parse_path,
        metavar="DIR",
        help="where videos with relative names go; default: beside the manifest",
    )
    parser.add_argument(
        "--results",
        type=parse_path,
        metavar="FILE",
        help="file of results; default: <manifest>.results.jsonl",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="check every row; load and write nothing"
    )
    parser.add_argument("--again", action="store_true", help="render rows that are done, too")
    add_render_options(parser)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps ...")
    several = parser.add_argument_group("several rows at once")
    several.add_argument(
        "--devices",
        type=device_list,
        default=(),
        metavar="LIST",
        help="GPUs that render a row each, such as 0,1,2,3",
    )
    several.add_argument(
        "--ray", default="", metavar="ADDRESS", help="Ray cluster that renders: host:port or 'auto'"
    )
    several.add_argument(
        "--workers", type=int, metavar="N", help="rows at once in the cluster; default: 1"
    )
    several.add_argument(
        "--step-limit",
        type=float,
        metavar="SECONDS",
        help="end a row whose networks make no progress for as long; one device renders in a "
        "process of its own then",
    )
