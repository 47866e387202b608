"""Options of a render, and the spec that they make."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from ...batch.row_options import read_size
from ...clock import read_time
from ...config.avatar import SpeakerRouting
from ...config.light_vae import MotionVAE
from ...errors import InvalidInputError
from ...excerpt import excerpt
from ...files.paths import check_file
from ...placement.devices import DTYPES
from .device_options import read_devices
from .kernel_options import add_kernel_options, read_disabled

if TYPE_CHECKING:
    from ...engine.request import PromptChange
    from ...engine.spec import RenderSpec, SamplingSpec

EXAMPLE = Path(__file__).parents[2] / "assets" / "example"


OF_FILES_ONLY: dict[str, Any] = {
    "audio": None,
    "start": 0.0,
    "duration": None,
    "prompt_at": [],
    "speaker": [],
    "speaker_start": [],
    "turns": None,
    "speaker_routing": None,
    "soundtrack": None,
    "upscale": None,
    "upscale_by": None,
}
"""What :func:`read_spec` finds where a command has none of these options, as ``serve``."""


def add_render_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that :func:`read_spec` reads, those of devices excepted, and ``--crf``."""
    parser.add_argument(
        "--audio", type=parse_input, help="speech, or a video with it; default: the bundled example"
    )
    parser.add_argument(
        "--soundtrack",
        type=parse_input,
        help="what is heard in the video instead of --audio, from the same second on: lips follow "
        "the vocals, the sound is the mix",
    )
    parser.add_argument("--start", type=float, default=0.0, help="start of the audio, seconds")
    parser.add_argument("--duration", type=float, help="length of the audio, seconds")
    parser.add_argument(
        "--crf",
        type=int,
        default=18,
        help="H.264 quality, 0 to 51; 0 is the best that every player shows, not quite lossless, "
        "in files some ten times as large",
    )
    parser.add_argument(
        "--upscale",
        type=parse_input,
        metavar="FILE",
        help="upscaling network (.safetensors, .pth) that frames go through before they are "
        "encoded; needs spandrel",
    )
    parser.add_argument(
        "--upscale-by",
        type=float,
        metavar="FACTOR",
        help="how much larger frames become, 0.25 to 8; default: what the network does",
    )
    parser.add_argument(
        "--prompt-at",
        nargs=2,
        action="append",
        default=[],
        metavar=("SECOND", "PROMPT"),
        help="another prompt from that second on; may be repeated",
    )
    _add_speakers(parser)
    add_avatar_options(parser)


def _add_speakers(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("two speakers in one image")
    group.add_argument(
        "--speaker",
        action="append",
        default=[],
        metavar="MASK[:AUDIO]",
        help="where one is, and their audio (default: --audio): 'left', 'right', 'face' (found by "
        "OpenCV, from left to right), a box X,Y,WIDTH,HEIGHT in pixels of the image, or an image "
        "as large with white there; given twice",
    )
    group.add_argument(
        "--speaker-start",
        type=float,
        nargs="+",
        action="extend",
        default=[],
        metavar="SECOND",
        help="when the audio of each begins in the video; default: 0",
    )
    group.add_argument(
        "--turns",
        metavar="TIMELINE",
        help="who is heard when, such as '1: 0-3.5, 2: 3.5-6', in seconds of the video; then both "
        "can share one --audio",
    )
    group.add_argument(
        "--speaker-routing",
        choices=get_args(SpeakerRouting),
        help="how they are told apart: 'rotary' as in the authors' code, for weights trained with "
        "it; 'regions', where each hears their own audio alone and the background none; default: "
        "the model's",
    )


def add_avatar_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of :func:`read_spec` that say who speaks, and how that is computed."""
    parser.add_argument("--image", type=parse_input, help="portrait; default: the bundled example")
    parser.add_argument(
        "--model", default="tiny", help="'tiny', the bundled model, or a folder of weights"
    )
    parser.add_argument("--size", type=parse_size, metavar="HxW", help="default: the model's")
    parser.add_argument(
        "--fit",
        choices=("cover", "pad", "face"),
        default="cover",
        help="crop to fill the frame, pad, or crop to the face (needs OpenCV)",
    )
    parser.add_argument(
        "--face-detector",
        metavar="FILE",
        help="YuNet's file, which finds the faces for --fit face and masks 'face'; default: "
        "OpenCV's own detector",
    )
    parser.add_argument("--prompt", help="what is to be seen; default: the model's")
    add_sampling(parser)
    parser.add_argument("--dtype", choices=("auto", *DTYPES), default="auto")
    parser.add_argument(
        "--attention", default="auto", help="auto, sdpa or a kernel that `doctor` lists"
    )
    add_kernel_options(parser)
    parser.add_argument(
        "--decode-latents",
        type=int,
        help="latent frames decoded at once, 4 video frames each; default: 2 with fused layers, "
        "3 for a model with a small decoder on a CPU, else 1",
    )
    parser.add_argument(
        "--memory",
        default="auto",
        metavar="PLAN",
        help="what stays on the GPU: auto, resident (all), float8 (FP8 weights), offload or "
        "float8-offload (blocks as many as fit, or a number as in offload:12)",
    )
    parser.add_argument(
        "--audio-layers",
        default="auto",
        metavar="FILE",
        help="InfiniteTalk's file, for a Wan 2.1 transformer without audio layers; default: one in "
        "the model's folder, where they are needed; 'none': no file",
    )
    parser.add_argument(
        "--vae",
        default="none",
        metavar="FILE",
        help="light autoencoder (LightVAE, TAE) that decodes the video; the model's own encodes "
        "the portrait",
    )
    parser.add_argument(
        "--vae-motion",
        choices=get_args(MotionVAE),
        default="full",
        help="with --vae, what makes the motion frames of the next chunk and their latents: "
        "'full', the model's own autoencoder, exactly as without --vae and no faster; 'shown', "
        "the frames that are shown, which the model's own encodes; 'light', --vae alone",
    )
    parser.add_argument(
        "--lora",
        action="append",
        default=[],
        metavar="FILE[:STRENGTH]",
        help="LoRA to merge into the weights; may be repeated",
    )


def add_sampling(parser: argparse.ArgumentParser) -> None:
    """Add the options that :func:`read_sampling` reads."""
    sampling = parser.add_argument_group("sampling; each defaults to the model's value")
    sampling.add_argument("--steps", type=int, help="denoising steps, 1 to 100")
    sampling.add_argument(
        "--rule",
        choices=("renoise", "euler"),
        help="update rule of a step; as the weights were trained",
    )
    sampling.add_argument("--shift", type=float, help="weight on noisy steps, above 0 to 100")
    sampling.add_argument("--seed", type=int, help="seed of the noise")
    sampling.add_argument(
        "--colour-strength", type=float, help="match of colours to the portrait, 0 (off) to 1"
    )
    sampling.add_argument(
        "--colour-area",
        choices=("frame", "no-mouth"),
        help="pixels whose colours are matched: all, or those around the place of mouths, so that "
        "an open mouth shifts no colours",
    )
    sampling.add_argument(
        "--join-frames",
        type=int,
        help="new frames over which the jump from chunk to chunk is faded out, 0 (off) to 25",
    )
    sampling.add_argument(
        "--mouth-strength", type=float, help="movement of the mouth, 0 to 3; 1 is as trained"
    )


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
            check_file(text, "file")  # before it is a path, which drops one slash of two
        except InvalidInputError as error:
            raise argparse.ArgumentTypeError(str(error)) from error
    return path


def parse_size(text: str) -> tuple[int, int]:
    """Read ``HxW``, height first."""
    try:
        return read_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{excerpt(text)!r} is no size; {error}") from None


def read_spec(args: argparse.Namespace) -> RenderSpec:
    """Return what the user said; the bundled example stands in for what is missing."""
    from ...engine.speakers.text import read_speakers
    from ...engine.spec import FramesSpec, LoraSpec, ModelSpec, PlacementSpec, RenderSpec
    from ...placement.memory_plan import MemoryChoice

    return RenderSpec(
        portrait=str(args.image or EXAMPLE / "portrait.png"),
        speakers=read_speakers(
            args.speaker,
            str(args.audio or EXAMPLE / "speech.wav"),
            args.speaker_start,
            args.turns or "",
        ),
        speaker_routing=args.speaker_routing,
        soundtrack=None if args.soundtrack is None else str(args.soundtrack),
        start_s=args.start,
        duration_s=args.duration,
        prompt=args.prompt,
        prompt_changes=read_prompt_changes(args.prompt_at),
        size_px=args.size,
        fit=args.fit,
        face_detector=args.face_detector,
        sampling=read_sampling(args),
        model=ModelSpec(
            name=args.model,
            audio_layers=args.audio_layers,
            loras=tuple(map(LoraSpec.parse, args.lora)),
            light_vae=args.vae,
        ),
        motion_vae=args.vae_motion,
        placement=PlacementSpec(
            **read_devices(args),
            dtype=args.dtype,
            attention=args.attention,
            speed=args.speed,
            disabled=read_disabled(args),
            memory=MemoryChoice.parse(args.memory, float8=args.float8),
            decode_latents=args.decode_latents,
            graph=args.graph,
        ),
        frames=FramesSpec(
            upscale=None if args.upscale is None else str(args.upscale),
            upscale_by=args.upscale_by,
        ),
    )


def read_sampling(args: argparse.Namespace) -> SamplingSpec:
    """Return what the options of :func:`add_sampling` say."""
    from ...engine.spec import SamplingSpec

    return SamplingSpec(**{each.name: getattr(args, each.name) for each in fields(SamplingSpec)})


def read_prompt_changes(given: Sequence[tuple[str, str]]) -> tuple[PromptChange, ...]:
    """Read pairs of a second and a prompt."""
    from ...engine.request import PromptChange

    changes = []
    for second, prompt in given:
        try:
            changes.append(PromptChange(read_time(second), prompt))
        except ValueError as error:
            if isinstance(error, InvalidInputError):
                raise
            raise InvalidInputError(
                f"--prompt-at {excerpt(second)!r}: no number of seconds; write --prompt-at "
                "12.5 'A prompt'"
            ) from error
    return tuple(changes)
