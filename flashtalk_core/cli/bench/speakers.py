"""``bench speakers``: agents that share one device, simulated from what chunks take."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from ...errors import require
from ..tables import print_rows

_MOST_CHUNK_MS, _MOST_SESSIONS, _MOST_MINUTES = 60_000, 1000, 10_080
"""A minute, what ``serve`` takes, and a week."""


def add_speakers(parts: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the part."""
    text = "how long agents wait that share one device, from what a chunk takes (simulated)"
    part = parts.add_parser("speakers", help=text, description=text)
    part.add_argument("--chunk-frames", type=int, default=33, help="motion frames included")
    part.add_argument("--chunk-ms", type=float, required=True, help="time of a chunk")
    part.add_argument("--first-ms", type=float, help="to its first frames; default: the same")
    part.add_argument("--sessions", type=int, nargs="+", default=[1, 2, 4, 8])
    part.add_argument("--capacity", type=int, help="speak at a time; default: as the server says")
    part.add_argument("--minutes", type=float, default=30.0, help="simulated")
    part.set_defaults(run=run_speakers)


def run_speakers(args: argparse.Namespace) -> int:
    """Simulate each number of sessions, and print a row for it."""
    from ...bench.live.mix import MixBench, simulate_mix

    _check(args)
    first_ms = args.chunk_ms if args.first_ms is None else args.first_ms
    rows = [
        simulate_mix(
            MixBench(
                num_frames=args.chunk_frames,
                chunk_s=args.chunk_ms / 1000,
                first_s=first_ms / 1000,
                sessions=sessions,
                minutes=args.minutes,
                capacity=args.capacity,
            )
        )
        for sessions in args.sessions
    ]
    print_rows(args, [asdict(row) for row in rows])
    return 0


def _check(args: argparse.Namespace) -> None:
    require(
        0 < args.chunk_ms <= _MOST_CHUNK_MS,
        f"chunk-ms {args.chunk_ms:g}: use more than 0, up to {_MOST_CHUNK_MS}",
    )
    require(
        args.first_ms is None or 0 < args.first_ms <= args.chunk_ms,
        f"first-ms {args.first_ms}: use more than 0, up to chunk-ms, {args.chunk_ms:g}",
    )
    require(args.capacity is None or args.capacity >= 1, f"capacity {args.capacity}: use 1 or more")
    require(
        1 <= args.minutes <= _MOST_MINUTES,
        f"minutes {args.minutes:g}: use 1 to {_MOST_MINUTES}",
    )
    for sessions in args.sessions:
        require(1 <= sessions <= _MOST_SESSIONS, f"sessions {sessions}: use 1 to {_MOST_SESSIONS}")
