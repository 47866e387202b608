"""``evaluate``: lips, autoencoder, drift and silence of a model on held-out drawings."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

from .render import choose_sampling

PARTS = ("lips", "vae", "drift", "silence")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser("evaluate", help=__doc__, description=__doc__)
    parser.add_argument("parts", nargs="*", default=list(PARTS), metavar="part",
                        help=f"any of: {', '.join(PARTS)}")  # fmt: skip
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--data", type=Path, default=Path("data"), help="speech corpus")
    parser.add_argument("--clips", type=int, default=50)
    parser.add_argument("--chunks", type=int, default=100, help="length of the drift run")
    parser.add_argument("--faces", type=int, default=4, help="of the drift and silence runs")
    parser.add_argument("--silence-s", type=int, default=60)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--rule", choices=("renoise", "euler"))
    parser.add_argument("--shift", type=float)
    parser.add_argument("--colour-strength", type=float)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--device", default="auto")
    parser.add_argument("-o", "--output", type=Path, help="JSON file; default: standard output")
    parser.set_defaults(run=run, mouth_strength=None)


def run(args: argparse.Namespace) -> int:
    """Measure and write."""
    import torch

    from ..training import evaluate
    from ..training.data.corpus_file import load_corpus
    from ..weights.load import load_avatar
    from .device import choose_device

    device = choose_device(args.device)
    models = load_avatar(args.model, device, torch.float32)
    corpus = load_corpus(args.data / "corpus.safetensors")
    sampling = choose_sampling(models.config.sampling, args)
    results: dict[str, object] = {"model": models.config.name, "sampling": asdict(sampling)}
    for part in args.parts:
        start = time.monotonic()
        if part == "lips":
            trials = evaluate.held_out_trials(corpus, args.clips, models.config.size_px)
            results[part] = evaluate.evaluate_lips(models, trials, sampling)
        elif part == "vae":
            results[part] = evaluate.evaluate_vae(models, args.clips)
        elif part == "drift":
            results[part] = evaluate.evaluate_drift(
                models, corpus, sampling, args.chunks, args.faces
            )
        else:
            results[part] = evaluate.evaluate_silence(
                models, corpus, sampling, args.silence_s, args.faces
            )
        results[f"{part}_took_s"] = round(time.monotonic() - start, 1)
    text = json.dumps(results, indent=1) + "\n"
    if args.output is None:
        sys.stdout.write(text)
    else:
        args.output.with_suffix(".tmp").write_text(text, encoding="utf-8")
        args.output.with_suffix(".tmp").replace(args.output)
    return 0
