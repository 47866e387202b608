"""``render``: one portrait and one recording become one video."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..config import SamplingConfig
from ..errors import InvalidInputError
from ..excerpt import excerpt
from ..files.paths import check_file
from ..placement.devices import DTYPES, choose_device, choose_dtype
from .fast_paths import add_fast_paths, read_fast_paths

if TYPE_CHECKING:
    from ..engine.plan import RenderPlan
    from ..engine.request import PromptChange

logger = logging.getLogger(__name__)

_MOST_DIGITS = 9
EXAMPLE = Path(__file__).parents[1] / "assets" / "example"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser("render", help=__doc__, description=__doc__)
    parser.add_argument("--image", type=parse_input, help="portrait; default: the bundled example")
    parser.add_argument(
        "--audio", type=parse_input, help="speech, or a video with it; default: the bundled example"
    )
    parser.add_argument(
        "-o", "--output", type=parse_path, required=True, help="video to write, .mp4"
    )
    parser.add_argument("--model", default="tiny", help="'tiny' or a folder of weights")
    parser.add_argument("--size", type=parse_size, metavar="HxW", help="default: the model's")
    parser.add_argument(
        "--fit", choices=("cover", "pad"), default="cover", help="fill the frame, or show all"
    )
    parser.add_argument("--prompt", help="default: the model's")
    parser.add_argument(
        "--prompt-at",
        nargs=2,
        action="append",
        default=[],
        metavar=("SECOND", "PROMPT"),
        help="another prompt from a second on; may be repeated",
    )
    add_sampling(parser)
    parser.add_argument("--start", type=float, default=0.0, help="start of the sound, seconds")
    parser.add_argument("--duration", type=float, help="length of the sound, seconds")
    parser.add_argument(
        "--crf",
        type=int,
        default=18,
        help="H.264 quality, 0 to 51; 0 is the best that every player shows, not quite lossless, "
        "in files some ten times as large",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps ...")
    parser.add_argument("--dtype", choices=("auto", *DTYPES), default="auto")
    parser.add_argument("--attention", default="auto", help="auto, sdpa or a kernel of `doctor`")
    add_fast_paths(parser)
    parser.add_argument(
        "--decode-latents",
        type=int,
        help="latent frames decoded at once, 4 video frames each; default: 2 with fused layers, "
        "else 1",
    )
    parser.add_argument(
        "--memory",
        default="auto",
        metavar="PLAN",
        help="what stays on the GPU: auto, resident (all), float8 (8-bit weights), offload or "
        "float8-offload (blocks as many as fit, or a number as in offload:12)",
    )
    parser.add_argument(
        "--lora",
        action="append",
        default=[],
        metavar="FILE[:STRENGTH]",
        help="LoRA to merge into the weights; may be repeated",
    )
    parser.set_defaults(run=run)


def add_sampling(parser: argparse.ArgumentParser) -> None:
    """Add the options that :func:`choose_sampling` reads."""
    sampling = parser.add_argument_group("sampling; each defaults to the model's value")
    sampling.add_argument("--steps", type=int, help="denoising steps, 1 to 100")
    sampling.add_argument(
        "--rule", choices=("renoise", "euler"), help="how a step is taken; as the weights need it"
    )
    sampling.add_argument("--shift", type=float, help="towards high noise, above 0 to 100")
    sampling.add_argument("--seed", type=int, help="of the noise")
    sampling.add_argument("--colour-strength", type=float, help="0 (off) to 1")
    sampling.add_argument("--mouth-strength", type=float, help="0 to 3, 1 is as trained")


def parse_path(text: str) -> Path:
    """Read the name of a file."""
    if not text.strip():
        raise argparse.ArgumentTypeError(f"{text!r} is no name; name a file")
    return Path(text)


def parse_input(text: str) -> Path:
    """Read the name of a file that is to be there."""
    path = parse_path(text)
    if "://" in text:
        try:
            check_file(text, "file")  # before it is a path, which keeps one slash of two
        except InvalidInputError as error:
            raise argparse.ArgumentTypeError(str(error)) from error
    return path


def parse_size(text: str) -> tuple[int, int]:
    """Read ``HxW``, height first."""
    height, _, width = text.lower().partition("x")
    is_size = all(side.isdecimal() and len(side) <= _MOST_DIGITS for side in (height, width))
    if not is_size:
        raise argparse.ArgumentTypeError(
            f"{excerpt(text)!r} is no size; write height x width in pixels, such as 768x448"
        )
    return int(height), int(width)


def choose_sampling(defaults: SamplingConfig, args: argparse.Namespace) -> SamplingConfig:
    """Return the model's sampling with what the user set."""
    names = ("steps", "rule", "shift", "seed", "colour_strength", "mouth_strength")
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    return replace(defaults, **given)


def run(args: argparse.Namespace) -> int:
    """Check everything, load, render."""
    from ..engine.render import describe, open_writer, render_video
    from ..placement.residency import StayLoaded
    from .progress import Progress

    plan = _check(args)
    writer = open_writer(plan, args.output, crf=args.crf, metadata={"comment": describe(plan)})
    networks = StayLoaded(plan.checkpoint, plan.placement)
    try:
        with ExitStack() as stack:
            assert writer.num_frames is not None, "the sound was measured"
            progress = Progress(writer.num_frames, plan.chunk)
            render_video(
                plan,
                writer,
                networks,
                on_ready=lambda: stack.enter_context(progress),
                on_frames=lambda frames: progress.add(len(frames)),
            )
        logger.info("wrote %s, %d frames", writer.output.final, writer.num_written)
    except BaseException as error:
        writer.note_end(error)  # the file may be complete: a stop may come while that is told
        raise
    return 0


def _check(args: argparse.Namespace) -> RenderPlan:
    """Look at everything the user gave, the quickest first."""
    from ..acceleration.apply import suited_decode_latents
    from ..engine.plan import RenderPlan
    from ..engine.request import AvatarRequest, check_order
    from ..files.output_path import check_output
    from ..geometry import check_size
    from ..media.audio.probe import probe_sound
    from ..media.image.portrait import open_picture
    from ..media.video.picture_track import check_crf
    from ..models.attention import choose_attention
    from ..placement.memory_choice import MemoryChoice, check_choice, plan_memory
    from ..placement.memory_sizes import model_sizes
    from ..placement.residency import Placement
    from ..weights.discovery.layout import find_model_files, resolve_model
    from ..weights.load import open_checkpoint
    from ..weights.lora.merge import LoraFile

    output = check_output(args.output)
    check_crf(args.crf)
    if args.size is not None:
        check_size(args.size)
    choose_sampling(SamplingConfig(), args)
    changes = read_prompt_changes(args.prompt_at)
    check_order(changes)
    memory = MemoryChoice.parse(args.memory, float8=args.float8)
    loras = [LoraFile.parse(text) for text in args.lora]
    device = choose_device(args.device)
    check_choice(memory, device)
    attention = choose_attention(args.attention, device)
    paths = read_fast_paths(args, device)
    files = find_model_files(resolve_model(args.model))
    image, audio = _inputs(args)
    for source in (image, audio):
        _check_not_overwritten(source, output.written)
    picture = open_picture(image)
    sound = probe_sound(audio, args.start, args.duration)
    checkpoint = open_checkpoint(files, attention, loras)
    config = checkpoint.config
    size_px, dtype = args.size or config.size_px, choose_dtype(args.dtype, device)
    latents = args.decode_latents
    if latents is None:
        latents = suited_decode_latents(paths)
    plan = plan_memory(
        memory, lambda: model_sizes(config, size_px, config.chunk, dtype, latents), device
    )
    if plan.reason:
        logger.info("memory %s: %s", args.memory, plan.reason)
    return RenderPlan(
        checkpoint=checkpoint,
        request=AvatarRequest(
            picture=picture,
            prompt=config.prompt if args.prompt is None else args.prompt,
            prompt_changes=changes,
            size_px=size_px,
            sampling=choose_sampling(config.sampling, args),
            fit=args.fit,
            num_decode_latents=latents,
        ),
        sound=sound,
        placement=Placement(device, dtype, paths=paths, memory=plan),
        attention=args.attention,
    )


def read_prompt_changes(given: Sequence[tuple[str, str]]) -> tuple[PromptChange, ...]:
    """Read pairs of a second and a prompt."""
    from ..engine.request import PromptChange

    changes = []
    for second, prompt in given:
        try:
            changes.append(PromptChange(float(second), prompt))
        except ValueError as error:
            if isinstance(error, InvalidInputError):
                raise
            raise InvalidInputError(
                f"--prompt-at {excerpt(second)!r}: no number of seconds; write --prompt-at "
                "12.5 'A prompt'"
            ) from error
    return tuple(changes)


def _inputs(args: argparse.Namespace) -> tuple[Path, Path]:
    """Return portrait and sound, the bundled ones where none is given."""
    missing = [name for name in ("image", "audio") if getattr(args, name) is None]
    if missing:
        options = " and ".join(f"--{name}" for name in missing)
        logger.info("without %s: the bundled example is used", options)
    return args.image or EXAMPLE / "portrait.png", args.audio or EXAMPLE / "speech.wav"


def _check_not_overwritten(source: Path, written: Sequence[Path]) -> None:
    for path in written:
        if path.exists() and source.exists() and path.samefile(source):
            raise InvalidInputError(
                f"output {written[0]}: {source} would be overwritten; choose another name"
            )
