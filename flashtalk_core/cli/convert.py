"""``convert``: a model's transformer in another format, in one file or in two for ComfyUI."""

from __future__ import annotations

import argparse
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import OutputError
from ..excerpt import excerpt, format_size, shown_path
from .status_line import StatusLine
from .terminal import write_out

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..weights.conversion.convert import Conversion, WrittenPart

logger = logging.getLogger(__name__)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    text = "write a model's transformer as one file in bf16, FP8 or GGUF, and read it back"
    parser = subparsers.add_parser("convert", help=text, description=text)
    parser.add_argument(
        "--model",
        required=True,
        nargs="+",
        metavar="MODEL",
        help="'tiny', the bundled model, a folder of weights, or the file of a transformer alone; "
        "a Wan 2.1 transformer and InfiniteTalk's audio layers are two files",
    )
    parser.add_argument(
        "--to",
        required=True,
        choices=("bf16", "fp8", "q8_0", "q4_k"),
        help="fp8 has a scale for each matrix; q8_0 and q4_k are GGUF",
    )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, help=".safetensors, or .gguf for q8_0 and q4_k"
    )
    parser.add_argument(
        "--audio-layers",
        type=Path,
        metavar="FILE",
        help="write the audio layers into this .safetensors, in bf16: the other file and this one "
        "are for ComfyUI's own nodes (diffusion_models and model_patches)",
    )
    parser.add_argument(
        "--lora", action="append", default=[], metavar="FILE[:STRENGTH]", help="merge it first"
    )
    parser.add_argument(
        "--again", action="store_true", help="write over files that an earlier conversion left"
    )
    parser.add_argument("--device", default="auto", help="what rounds: auto, cpu, cuda, cuda:1 ...")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the files, and print what they are and what rounding lost."""
    from ..engine.spec import LoraSpec
    from ..placement.devices import choose_device
    from ..weights.conversion.convert import convert
    from ..weights.lone_transformer import lacks_settings, open_transformer
    from ..weights.lora.merge import LoraFile

    conversion = _conversion(args)
    device = choose_device(args.device)
    loras = [LoraSpec.parse(text) for text in args.lora]
    merged = [LoraFile(Path(each.path), each.strength) for each in loras]
    plan, files = open_transformer(args.model, merged)
    _check_kind_kept([source.name for source, _mappings in plan.sources], conversion)
    _check_spared([*files, *(lora.path for lora in merged)], conversion)
    if not args.again:
        _check_new(conversion)
    if lacks_settings(plan, args.output.parent):
        logger.warning(
            "%s: no shape tells how many heads its attention has; keep the model's flashtalk.json "
            "beside it, or it cannot be read alone",
            shown_path(args.output),
        )
    line = StatusLine()
    line.begin()

    def show(what: str, number: int, total: int) -> None:
        text = f"{what} tensor {number}/{total}"
        line.draw(text)
        if line.is_due:
            line.add_line(text)

    try:
        parts = convert(plan, conversion, device, show)
    finally:
        line.end()
    write_out("\n".join(map(_describe, parts)))
    return 0


def _conversion(args: argparse.Namespace) -> Conversion:
    """Return what is asked for; names that do not fit are refused."""
    from ..weights.conversion.convert import Conversion
    from ..weights.conversion.targets import SUFFIXES

    wanted = [(args.output, SUFFIXES[args.to])]
    if args.audio_layers is not None:
        wanted.append((args.audio_layers, SUFFIXES["bf16"]))
    for path, suffix in wanted:
        if path.suffix.lower() != suffix:
            raise OutputError(f"{shown_path(path)}: {args.to} is written to a name with {suffix}")
    if len({path.absolute() for path, _ in wanted}) < len(wanted):
        raise OutputError(f"{shown_path(args.output)}: named twice; use two files")
    return Conversion(args.to, args.output, args.audio_layers)


def _check_kind_kept(read: Iterable[str], conversion: Conversion) -> None:
    """Refuse names that would make FlashTalk of InfiniteTalk: nothing in a file tells them apart.

    Args:
        read: Names of the transformer's files.
        conversion: What is written.
    """
    from ..weights.discovery.infinite_talk import is_infinite_talk

    outputs = [path for path in (conversion.output, conversion.audio_output) if path is not None]
    kind = next(filter(is_infinite_talk, read), None)
    if kind is None or any(is_infinite_talk(path.name) for path in outputs):
        return
    # The audio layers, where they are apart: the others are Wan 2.1's own.
    path = outputs[-1]
    raise OutputError(
        f"{shown_path(path)}: {excerpt(kind)} is InfiniteTalk's, which is known by the name alone, "
        "and this one would get FlashTalk's frames and steps; call it "
        f"{excerpt(f'{path.stem}-infinitetalk{path.suffix}')}"
    )


def _check_spared(read: Iterable[Path], conversion: Conversion) -> None:
    """Refuse to replace what is read."""
    used = {path.resolve() for path in read}
    for path in (conversion.output, conversion.audio_output):
        if path is not None and path.resolve() in used:
            raise OutputError(f"{shown_path(path)}: is read for it; write to another name")


def _check_new(conversion: Conversion) -> None:
    """Refuse to replace what is there: hours on a CPU, perhaps somebody's only copy."""
    for path in (conversion.output, conversion.audio_output):
        if path is not None and os.path.lexists(path):
            raise OutputError(
                f"{shown_path(path)}: is there already; write to another name, or over it with "
                "--again"
            )


def _describe(part: WrittenPart) -> str:
    losses = "".join(
        f"; {count} matrices in {kind}, which lost {100 * mean:.2f} % (at most {100 * most:.2f} %)"
        for kind, (count, mean, most) in part.errors.items()
    )
    size = format_size(part.num_bytes)
    others = "".join(f"; {note}" for note in part.notes)
    what = f"{part.num_tensors} tensors, {size}, read back{losses}{others}"
    return f"wrote {shown_path(part.path)}, {what}"
