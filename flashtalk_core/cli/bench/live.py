"""``bench live``: a recording fed to a live session, and when what left its clock."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING

from ...placement.devices import DTYPES
from ..live_options import add_chunks
from ..rendering.render_options import (
    EXAMPLE,
    add_sampling,
    parse_input,
    parse_path,
    parse_size,
    read_sampling,
)
from ..tables import print_parts

if TYPE_CHECKING:
    from ...engine.spec import RenderSpec


def add_live(parts: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the part and its options."""
    text = "latencies of a live session that is fed a recording as if by a microphone"
    part = parts.add_parser("live", help=text, description=text)
    part.add_argument("--image", type=parse_input, help="portrait; default: the bundled example")
    part.add_argument("--audio", type=parse_input, help="speech; default: the bundled example")
    part.add_argument("--start", type=float, default=0.0, help="start of the audio, seconds")
    part.add_argument("--duration", type=float, default=10.0, help="its length, seconds")
    part.add_argument("--model", default="tiny", help="'tiny' or a folder of weights")
    part.add_argument("--size", type=parse_size, metavar="HxW", help="default: the model's")
    part.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps ...")
    part.add_argument("--dtype", choices=("auto", *DTYPES), default="auto")
    add_sampling(part)
    part.add_argument(
        "--speed",
        type=float,
        default=1.0,
        help="seconds of audio that arrive in a second: 1 is a microphone, 10 text to speech",
    )
    part.add_argument(
        "--no-gate", action="store_true", help="one utterance, instead of those a gate finds"
    )
    part.add_argument(
        "--vad", action="store_true", help="the gate asks the network silero-vad as well"
    )
    part.add_argument(
        "--idle",
        choices=("bank", "draw", "still"),
        default="bank",
        help="what is shown in silence: stored frames, chunks of silence, the portrait",
    )
    add_chunks(part)
    part.add_argument(
        "--factor",
        type=float,
        help="virtual time, in which a chunk takes this times its length; default: real time",
    )
    part.add_argument(
        "--clear-at",
        type=float,
        nargs="+",
        default=[],
        metavar="SECOND",
        help="interrupt so long after the audio began",
    )
    part.add_argument(
        "--allow-slow", action="store_true", help="real time where chunks take too long for it"
    )
    part.add_argument("-o", "--output", type=parse_path, help="record what was shown, .mp4")
    part.set_defaults(run=run_live)


def run_live(args: argparse.Namespace) -> int:
    """Play a session and print what left when."""
    from ...bench.live.measure import LiveBench, measure_live
    from ...live.decide import Policy

    bench = LiveBench(
        spec=_read_spec(args),
        speed=args.speed,
        is_gated=not args.no_gate,
        asks_network=args.vad,
        policy=Policy(idle=args.idle, look_ahead=args.look_ahead),
        chunk_frames=tuple(args.chunk_frames),
        factor=args.factor,
        clears_s=tuple(args.clear_at),
        allow_slow=args.allow_slow,
        output=args.output,
    )
    print_parts(args, asdict(measure_live(bench)))
    return 0


def _read_spec(args: argparse.Namespace) -> RenderSpec:
    from ...engine.spec import ModelSpec, PlacementSpec, RenderSpec, Speaker

    return RenderSpec(
        portrait=str(args.image or EXAMPLE / "portrait.png"),
        speakers=(Speaker(audio=str(args.audio or EXAMPLE / "speech.wav")),),
        start_s=args.start,
        duration_s=args.duration,
        size_px=args.size,
        sampling=read_sampling(args),
        model=ModelSpec(name=args.model),
        placement=PlacementSpec(device=args.device, dtype=args.dtype),
    )
