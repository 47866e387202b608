"""``bench speakers``: agents that share one device, simulated from what chunks take."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from ..tables import print_rows


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
    from ...errors import require

    first_ms = args.chunk_ms if args.first_ms is None else args.first_ms
    require(0 < first_ms <= args.chunk_ms, f"first-ms {first_ms:g}: use 0 to {args.chunk_ms:g}")
    require(args.minutes >= 1, f"minutes {args.minutes:g}: use 1 or more")
    require(min(args.sessions) >= 1, f"sessions {min(args.sessions)}: use 1 or more")
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
