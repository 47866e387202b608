"""``train``: make the tiny model anew, stage by stage; a run resumes where it stopped."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from ..training.stages import TrainingFiles

STAGES = ("corpus", "tokenizer", "vae", "audio", "latents", "dit", "export", "report")
EXTRAS = ("example", "speech")
"""Made on request only: the bundled example, and held-out speech of ``--minutes``."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser("train", help=__doc__, description=__doc__)
    parser.add_argument(
        "stages", nargs="*", default=[], metavar="stage",
        help=f"default: all, which are {', '.join(STAGES)}; beside them {', '.join(EXTRAS)}",
    )  # fmt: skip
    parser.add_argument("--data", type=Path, default=Path("data"), help="speech corpus")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="states and curves")
    parser.add_argument("--out", type=Path, default=Path("runs/model"), help="exported model")
    parser.add_argument("--docs", type=Path, default=Path("runs/report"), help="where plots go")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--minutes", type=float, default=40.0, help="length of the corpus")
    parser.add_argument("--clips", type=int, help="clips kept on the device, a multiple of 32")
    parser.add_argument("--budget-s", type=float, help="whole training time of each stage")
    parser.add_argument("--part-s", type=float, default=1e9, help="stop earlier, resume later")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the stages in the order given."""
    from ..errors import InvalidInputError
    from ..training.stages import TrainingFiles
    from .device import choose_device

    unknown = [stage for stage in args.stages if stage not in STAGES + EXTRAS]
    if unknown:
        raise InvalidInputError(
            f"stage {unknown[0]!r} is unknown; use: {', '.join(STAGES + EXTRAS)}"
        )
    files = TrainingFiles(
        corpus=args.data / "corpus.safetensors",
        tokenizer=args.data / "spiece.model",
        runs=args.runs,
    )
    device = choose_device(args.device)
    for stage in args.stages or STAGES:
        if stage in ("vae", "audio", "latents", "dit"):
            _train(stage, args, files, device)
        elif stage in EXTRAS:
            _make_extra(stage, args, files)
        else:
            _make(stage, args, files)
    return 0


def _make(stage: str, args: argparse.Namespace, files: TrainingFiles) -> None:
    """Run a stage that needs no accelerator."""
    if stage == "corpus":
        from ..training.data.corpus import make_corpus

        args.data.mkdir(parents=True, exist_ok=True)
        make_corpus(files.corpus, args.minutes)
    elif stage == "tokenizer":
        from ..training.recipe import tiny_config
        from ..training.vocabulary import make_tokenizer

        make_tokenizer(files.tokenizer, tiny_config().text.vocab_size)
    elif stage == "export":
        from ..training.export import export_model

        export_model(files, args.out)
    else:
        from ..training.report import write_report

        write_report(files, args.out, args.docs)


def _make_extra(stage: str, args: argparse.Namespace, files: TrainingFiles) -> None:
    from ..training.data.example import make_example, make_long_speech

    if stage == "example":
        make_example(args.out)
    else:
        from ..training.data.corpus_file import load_corpus

        make_long_speech(load_corpus(files.corpus), 60 * args.minutes, args.out)


def _train(
    stage: str, args: argparse.Namespace, files: TrainingFiles, device: torch.device
) -> None:
    from ..training import stages
    from ..training.recipe import TinyRecipe

    if stage == "latents":
        stages.measure_latents(files, device)
        return
    budget_s = args.budget_s or TinyRecipe().budgets_s[stage]
    if stage == "dit":
        stages.train_dit(files, device, budget_s, args.part_s, args.clips)
    else:
        train = {"vae": stages.train_vae, "audio": stages.train_audio}[stage]
        train(files, device, budget_s, args.part_s)
