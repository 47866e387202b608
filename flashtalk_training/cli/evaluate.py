"""``evaluate``: what a model makes of held-out drawings and speech, measured."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from flashtalk_core.cli.rendering.render_options import read_sampling
from flashtalk_core.cli.terminal import write_out
from flashtalk_core.errors import InvalidInputError, OutputError
from flashtalk_core.files.whole_file import check_replacing, replacing
from flashtalk_core.placement.devices import DTYPES

if TYPE_CHECKING:
    from flashtalk_core.weights.load import AvatarModels

PARTS = (
    "lips", "vae", "trips", "drift", "silence", "recovery", "movement", "floor", "joins", "eyes",
)  # fmt: skip
STYLES = ("trained", "older")
"""Names of ``drawn_faces.styles.STYLES``, which a test holds this to."""
_ROUND_TRIPS = 10


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    text = "measure a model on held-out drawn faces and held-out speech"
    parser = subparsers.add_parser("evaluate", help=text, description=text)
    parser.add_argument("parts", nargs="*", default=list(PARTS), metavar="part", type=parse_part,
                        help=f"what to measure: {', '.join(PARTS)}; default: all")  # fmt: skip
    parser.add_argument("--model", default="tiny", help="'tiny' or a folder of weights")
    parser.add_argument("--data", type=Path, default=Path("data"), help="speech corpus")
    parser.add_argument("--clips", type=parse_count, default=50, help="number of clips")
    parser.add_argument(
        "--chunks",
        type=parse_count,
        default=100,
        help="length of a run, in drift, joins and eyes",
    )
    parser.add_argument(
        "--faces",
        type=parse_count,
        default=4,
        help="number of faces, in all parts but lips and vae",
    )
    parser.add_argument(
        "--chunk-frames",
        type=parse_count,
        help="frames of a chunk, motion frames included; default: the model's",
    )
    parser.add_argument(
        "--look-ahead",
        type=int,
        help="frames of sound after a chunk, as in a live session (0: none); default: all",
    )
    parser.add_argument(
        "--style", choices=STYLES, default=STYLES[0],
        help="how faces are drawn: as in training (the default), or older ones never trained on",
    )  # fmt: skip
    parser.add_argument("--silence-s", type=parse_count, default=60, help="seconds of silence")
    parser.add_argument("--steps", type=int, help="default: the model's")
    parser.add_argument("--rule", choices=("renoise", "euler"), help="default: the model's")
    parser.add_argument("--shift", type=float, help="default: the model's")
    parser.add_argument("--colour-strength", type=float, help="default: the model's")
    parser.add_argument("--colour-area", choices=("frame", "no-mouth"), help="default: the model's")
    parser.add_argument("--join-frames", type=int, help="default: the model's")
    parser.add_argument("--seed", type=int, help="default: the model's")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 ...")
    parser.add_argument("--dtype", choices=("auto", *DTYPES), default="float32")
    parser.add_argument("-o", "--output", type=Path, help="JSON file; default: standard output")
    parser.set_defaults(run=run, mouth_strength=None)


def parse_part(text: str) -> str:
    """Read the name of a part."""
    if text not in PARTS:
        raise argparse.ArgumentTypeError(f"{text!r} is no part; use any of {', '.join(PARTS)}")
    return text


def parse_count(text: str) -> int:
    """Read a whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no count; use a whole number of at least 1")
    return int(text)


def require_folder(option: str, folder: Path) -> None:
    """Raise if there is a file where a folder, or one above it, is to be made."""
    file = next((path for path in (folder, *folder.parents) if path.is_file()), None)
    if file is not None:
        raise InvalidInputError(f"{option} {folder}: {file} is a file; name a folder")


def check_report(path: Path) -> None:
    """Prove that a report can be written to ``path``, before hours are spent on it.

    Raises:
        OutputError: If it is a folder, or its folder is missing or cannot be written to.
    """
    if path.is_dir():
        raise OutputError(f"output {path}: this is a folder; add a file name")
    if not path.parent.is_dir():
        raise OutputError(f"output {path}: no folder {path.parent}; create it first")
    with _output_errors(path):
        check_replacing(path)


@contextmanager
def _output_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"output {path}: cannot be written, {error.strerror or error}; choose another place"
        ) from error


def _with_chunks(models: AvatarModels, args: argparse.Namespace) -> AvatarModels:
    """Return the model with chunks of the length, and the sound after them, that were asked for."""
    from ..chunk_lengths import chunk_of

    chunk = chunk_of(models.config.chunk, args.chunk_frames, args.look_ahead)
    return replace(models, config=replace(models.config, chunk=chunk))


def run(args: argparse.Namespace) -> int:
    """Measure and write."""
    from flashtalk_core.errors import require
    from flashtalk_core.placement.devices import choose_device, choose_dtype
    from flashtalk_core.weights.load import load_avatar

    from ..drawn_faces import styles
    from ..evaluation import drift, eye_error, joins, measures, movement
    from ..evaluation.batched_sessions import HeldOutFaces
    from ..evaluation.eval_clip import held_out_clips
    from ..speech.corpus_file import load_corpus

    require(
        "lips" not in args.parts or args.clips > 1,
        f"--clips {args.clips}: lips are compared with the audio of another clip; use 2 or more",
    )
    require(
        "joins" not in args.parts or args.chunks > 1,
        f"--chunks {args.chunks}: joins are between chunks; use 2 or more",
    )
    if args.output is not None:
        check_report(args.output)
    device = choose_device(args.device)
    models = load_avatar(args.model, device, choose_dtype(args.dtype, device))
    models = _with_chunks(models, args)
    corpus = load_corpus(args.data / "corpus.safetensors")
    sampling = read_sampling(args).over(models.config.sampling)
    style = styles.STYLES[args.style]
    held_out = HeldOutFaces(args.faces, style=style)
    parts: dict[str, Callable[[], object]] = {
        "lips": lambda: measures.evaluate_lips(
            models, held_out_clips(corpus, args.clips, models.config.size_px, style), sampling
        ),
        "vae": lambda: measures.evaluate_vae(models, args.clips, style),
        "trips": lambda: drift.evaluate_round_trips(models, sampling, _ROUND_TRIPS, held_out),
        "drift": lambda: drift.evaluate_drift(models, corpus, sampling, args.chunks, held_out),
        "silence": lambda: measures.evaluate_silence(
            models, corpus, sampling, args.silence_s, args.faces, style=style
        ),
        "recovery": lambda: drift.evaluate_recovery(
            models, corpus, sampling, drift.RECOVERY_CHUNKS, held_out
        ),
        "movement": lambda: {
            "model": movement.evaluate_movement(models, corpus, sampling, held_out),
            "drawn": movement.measure_drawn_movement(models.config, held_out, device),
        },
        "joins": lambda: joins.evaluate_joins(models, corpus, sampling, args.chunks, held_out),
        "eyes": lambda: eye_error.evaluate_eyes(models, corpus, sampling, args.chunks, held_out),
        "floor": lambda: movement.measure_drawn_drift(models, sampling, held_out),
    }
    results: dict[str, object] = {
        "model": models.config.name,
        "style": style.name,
        "sampling": asdict(sampling),
        "chunk_frames": models.config.chunk.num_frames,
        "look_ahead": args.look_ahead,
    }
    for part in args.parts:
        start = time.monotonic()
        results[part] = parts[part]()
        results[f"{part}_took_s"] = round(time.monotonic() - start, 1)
    text = json.dumps(results, indent=1)
    if args.output is None:
        write_out(text)
    else:
        with _output_errors(args.output), replacing(args.output) as unfinished:
            unfinished.write_text(f"{text}\n", encoding="utf-8")
    return 0
