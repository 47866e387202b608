"""``bench``: measure speed, memory, and how exactly images and audio are in sync."""

from __future__ import annotations

import argparse
import logging
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from ...placement.devices import DTYPES, choose_device, choose_dtype
from ..rendering.kernel_options import add_switches, read_disabled
from ..rendering.render_options import EXAMPLE, parse_size
from ..tables import print_parts, print_rows
from .attention import add_attention
from .batch import add_batch
from .cards import add_cards
from .cold import add_cold
from .convolutions import add_convolutions
from .launches import add_launches
from .links import add_links
from .live import add_live
from .ranks import add_ranks
from .shared_options import DECODERS, add_model, sizes_of, with_decoder
from .soak import add_soak
from .speakers import add_speakers

if TYPE_CHECKING:
    import torch

    from ...bench.av_sync import SyncMeasure
    from ...bench.stages import ExecutionMode, StageBench

logger = logging.getLogger(__name__)

MAX_MEMORY_RATIO = 1.05
"""Peak memory of a long render over that of a short one."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its parts."""
    text = "measure speed, memory, and how exactly video and audio are in sync"
    parser = subparsers.add_parser("bench", help=text, description=text)
    parts = parser.add_subparsers(dest="part", required=True, metavar="part")
    _add_speed(parts)
    _add_stages(parts)
    add_cold(parts)
    _add_memory(parts)
    add_cards(parts)
    add_links(parts)
    add_ranks(parts)
    add_launches(parts)
    add_attention(parts)
    add_convolutions(parts)
    add_batch(parts)
    add_live(parts)
    add_speakers(parts)
    _add_av(parts)
    for part in parts.choices.values():
        part.add_argument("--json", action="store_true", help="print JSON")
    add_soak(parts)


def _add_speed(parts: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "frames a second at the model's own size and steps, and seconds to the first one"
    part = parts.add_parser("speed", help=text, description=text)
    part.add_argument("--model", default="tiny", help="'tiny' or a folder of weights")
    part.add_argument("--duration", type=float, default=20.0, help="timed audio, seconds")
    part.add_argument("--starts", type=int, default=1, help="how often a render is started")
    part.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps ...")
    part.add_argument("--dtype", choices=("auto", *DTYPES), default="auto")
    part.set_defaults(run=run_speed)


def _add_stages(parts: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = (
        "each stage of a chunk with random weights, in eager mode and faster ones, against the "
        "floor"
    )
    part = parts.add_parser("stages", help=text, description=text)
    add_model(part)
    part.add_argument("--size", type=parse_size, metavar="HxW", help="default: the model's")
    part.add_argument("--steps", type=int, help="default: the model's")
    part.add_argument(
        "--ways",
        nargs="*",
        choices=("compiled", "fused", "float8", "float8-attention"),
        default=["fused", "float8"],
        help="execution modes in addition to eager; default: fused float8",
    )
    part.add_argument("--attention", default="auto", help="attention kernel of the faster modes")
    add_switches(part)
    part.add_argument(
        "--also",
        type=_setting,
        nargs="+",
        default=[],
        metavar="HxW:STEPS:LATENTS[:FRAMES]",
        help="time whole chunks of the faster modes at these, too; with FRAMES, those of a live "
        "session of that length",
    )
    part.add_argument(
        "--decoder",
        choices=DECODERS,
        default="own",
        help="what decodes: the model's own autoencoder; a decoder as small as TAE files for "
        "Wan 2.1; the autoencoder at a quarter of its width (LightVAE), which then encodes as well",
    )
    part.add_argument(
        "--decode-latents",
        type=int,
        nargs="+",
        default=[8],
        help="latent frames decoded at once; the first in the chunk, the others separately",
    )
    part.add_argument("--warmups", type=int, default=1, help="unmeasured runs")
    part.add_argument("--repeats", type=int, default=5, help="measured runs")
    part.add_argument(
        "--plain-repeats", type=int, help="measured runs of eager mode; default: as --repeats"
    )
    part.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps ...")
    part.add_argument("--dtype", choices=("auto", *DTYPES), default="auto")
    part.set_defaults(run=run_stages)


def _add_memory(parts: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "peak memory of a long render over that of a short one (Linux)"
    part = parts.add_parser("memory", help=text, description=text)
    part.add_argument("--model", default="tiny", help="'tiny' or a folder of weights")
    part.add_argument(
        "--long", type=float, default=600.0, help="length of the long render, seconds"
    )
    part.add_argument(
        "--short", type=float, default=60.0, help="length of the short render, seconds"
    )
    part.add_argument("--size", metavar="HxW", help="default: the model's")
    part.add_argument("--device", default="cpu")
    part.set_defaults(run=run_memory)


def _add_av(parts: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "length, frame times, and clicks in the audio, with a stand-in for the model"
    part = parts.add_parser("av", help=text, description=text)
    part.add_argument("--long", action="store_true", help="also ten hours")
    part.set_defaults(run=run_av)


def run_speed(args: argparse.Namespace) -> int:
    """Time a render in this process, and the start of one in a process of its own."""
    from ...bench.render_process import measure_starts
    from ...bench.speed import measure_speed
    from ...engine.spec import ModelSpec, PlacementSpec, RenderSpec
    from ...errors import require
    from ...placement.memory_plan import MemoryChoice

    choose_device(args.device)  # a wrong name is reported before a render starts
    require(args.starts >= 1, f"starts {args.starts}: use 1 or more")
    eager = PlacementSpec(
        device=args.device,
        dtype=args.dtype,
        speed="plain",
        memory=MemoryChoice("resident"),
    )
    spec = RenderSpec(
        portrait=str(EXAMPLE / "portrait.png"), model=ModelSpec(name=args.model), placement=eager
    )
    with TemporaryDirectory() as folder:
        options = ["-o", f"{folder}/first.mp4", "--model", args.model]
        options += ["--device", args.device, "--dtype", args.dtype]
        starts = measure_starts(options, args.starts)
        found = measure_speed(spec, args.duration, Path(folder))
    row = asdict(found) | {
        "seconds_to_first_frame": median(starts.seconds),
        "least": min(starts.seconds),
        "most": max(starts.seconds),
        "cpu_seconds": median(starts.cpu_s),
    }
    print_rows(args, [row])
    return 0


def run_stages(args: argparse.Namespace) -> int:
    """Time stages with random weights; 0 if the faster modes agree with eager mode, else 1."""
    from ...bench.stages import bench_stages, describe

    bench = _stage_bench(args)
    report = bench_stages(bench, lambda text: logger.info("measuring: %s", text))
    parts = {"bench": [describe(bench)]} | asdict(report)
    print_parts(args, parts)
    return 0 if all(found.passed for found in report.agreements) else 1


def _stage_bench(args: argparse.Namespace) -> StageBench:
    """Check all options, then build the networks."""
    from ...bench.random_networks import random_networks
    from ...bench.stages import Setting, StageBench
    from ...errors import require
    from ...geometry import check_size
    from ...models.attention import sdpa

    plain_repeats = args.repeats if args.plain_repeats is None else args.plain_repeats
    counts = {"warmups": args.warmups, "repeats": args.repeats, "plain repeats": plain_repeats}
    for name, count in counts.items():
        require(count >= 1, f"{name} {count}: use 1 or more")
    require(min(args.decode_latents) >= 1, f"decode latents {args.decode_latents}: use 1 or more")
    device = choose_device(args.device)
    modes = _modes(args, device)
    config = with_decoder(sizes_of(args.model), args.decoder)
    size_px = args.size or config.size_px
    check_size(size_px)
    steps = config.sampling.steps if args.steps is None else args.steps
    sampling = replace(config.sampling, steps=steps)
    settings = tuple(Setting(*values) for values in args.also)
    return StageBench(
        networks=random_networks(config, sdpa, device, choose_dtype(args.dtype, device)),
        modes=modes,
        settings=settings,
        size_px=size_px,
        steps=sampling.steps,
        num_decode_latents=tuple(args.decode_latents),
        warmups=args.warmups,
        repeats=args.repeats,
        plain_repeats=plain_repeats,
    )


def _modes(args: argparse.Namespace, device: torch.device) -> dict[str, ExecutionMode]:
    """Return the requested modes, in the order in which they can be switched on."""
    from ...acceleration.attention_kernels import choose_attention
    from ...acceleration.support import check_kernel_options, choose_kernel_options
    from ...bench.stages import ExecutionMode
    from ...placement.memory_choice import check_choice
    from ...placement.memory_plan import MemoryChoice

    speeds = {"compiled": "compiled"} | dict.fromkeys(
        ("fused", "float8", "float8-attention"), "fused"
    )
    modes = {}
    for name, speed in speeds.items():
        if name not in args.ways:
            continue
        is_float8 = name.startswith("float8")
        check_choice(MemoryChoice(float8=is_float8), device)
        paths = choose_kernel_options(speed, device).without(read_disabled(args))
        check_kernel_options(paths, device)
        kernel = "flash-attn-3-fp8" if name == "float8-attention" else args.attention
        modes[name] = ExecutionMode(paths, choose_attention(kernel, device), is_float8)
    return modes


def _setting(text: str) -> tuple[tuple[int, int], int, int, int | None]:
    """Read ``HxW:STEPS:LATENTS[:FRAMES]``: latent frames decoded at once, length of the chunk."""
    size, *counts = text.split(":")
    is_read = len(counts) in (2, 3) and all(one.isdecimal() for one in counts)
    if not is_read or not all(map(int, counts[1:])):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no size, steps and latents a call; write 720x416:2:8, or 720x416:2:8:17 "
            "for chunks of 17 frames"
        )
    steps, latents, *frames = map(int, counts)
    return parse_size(size), steps, latents, frames[0] if frames else None


def run_memory(args: argparse.Namespace) -> int:
    """Compare the peaks of two renders at one step; 0 if they agree, else 1."""
    from ...bench.render_process import peak_memory_bytes
    from ...bench.signals import write_babble

    options = ["--model", args.model, "--device", args.device, "--steps", "1"]
    options += ["--size", args.size] if args.size else []
    peaks = {}
    with TemporaryDirectory() as folder:
        audio = Path(folder) / "babble.flac"
        write_babble(audio, max(args.long, args.short))
        for seconds in (args.short, args.long):
            files = ["--audio", str(audio), "-o", f"{folder}/memory.mp4"]
            peaks[seconds] = peak_memory_bytes([*files, "--duration", str(seconds), *options])
    ratio = peaks[args.long] / peaks[args.short]
    rows = [
        {"seconds": seconds, "peak_mib": peak / 2**20, "over_short": peak / peaks[args.short]}
        for seconds, peak in peaks.items()
    ]
    print_rows(args, rows)
    return 0 if ratio <= MAX_MEMORY_RATIO else 1


def run_av(args: argparse.Namespace) -> int:
    """Measure videos of several lengths; 0 if all are exact, else 1."""
    from ...bench.av_sync import DURATIONS_S, LONG_S

    durations_s = (*DURATIONS_S, *([LONG_S] if args.long else []))
    with TemporaryDirectory() as folder:
        results = [_measure_sync(duration_s, Path(folder)) for duration_s in durations_s]
    print_rows(args, [asdict(result) | {"passed": result.passed} for result in results])
    return 0 if all(result.passed for result in results) else 1


def _measure_sync(duration_s: float, folder: Path) -> SyncMeasure:
    """Measure one video, with a progress bar of its own."""
    from ...bench.av_sync import measure_sync
    from ...config.chunk import ChunkConfig
    from ...engine.events import EventHandlers
    from ...geometry import num_video_frames
    from ..progress import Progress

    chunk = ChunkConfig()
    total = num_video_frames(round(duration_s * 1000), 1000, chunk.frame_rate_hz)
    with Progress(total, chunk) as progress:
        events = EventHandlers(frames=lambda frames: progress.add(len(frames)))
        return measure_sync(duration_s, folder, events)
