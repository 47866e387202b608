"""Options of all commands that play a live session."""

from __future__ import annotations

import argparse


def add_chunks(parser: argparse._ActionsContainer) -> None:
    """Add the options of what is drawn."""
    parser.add_argument(
        "--chunk-frames",
        type=int,
        nargs="+",
        default=[33],
        metavar="N",
        help="lengths of chunk that may be drawn, motion frames included",
    )
    parser.add_argument("--look-ahead", type=int, default=0, help="frames of audio after a chunk")
