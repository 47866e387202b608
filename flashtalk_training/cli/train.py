"""``train``: train the tiny model stage by stage; a run resumes where it stopped."""

from __future__ import annotations

import argparse
import importlib.util
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from flashtalk_core.errors import InvalidInputError
from flashtalk_core.packages import missing_package

from .evaluate import require_folder

if TYPE_CHECKING:
    from ..stages import TrainingJob

logger = logging.getLogger(__name__)

STAGES = ("corpus", "tokenizer", "vae", "audio", "latents", "decoder", "dit", "export", "report")
TRAINED = ("vae", "audio", "decoder", "dit")
"""Stages that have a budget of time and may be split into parts."""
DISTILL = "distill"
"""Stage 2, after ``dit``, on request only; the bundled model is its student."""
_SHORT = 0.8
"""Share of ``--minutes`` below which a corpus that is there is too short: parts may end early."""
EXTRAS = ("example", "speech")
"""Made on request only: the bundled example, and held-out speech of ``--minutes``."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    text = "train the tiny model stage by stage; a run resumes where it stopped"
    parser = subparsers.add_parser("train", help=text, description=text)
    parser.add_argument(
        "stages", nargs="*", default=[], metavar="stage",
        help=f"default: all, which are {', '.join(STAGES)}; "
        f"also available: {', '.join((DISTILL, *EXTRAS))}",
    )  # fmt: skip
    parser.add_argument("--data", type=Path, default=Path("data"), help="speech corpus")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="states and curves")
    parser.add_argument("--out", type=Path, default=Path("runs/model"), help="exported model")
    parser.add_argument("--docs", type=Path, default=Path("runs/report"), help="folder for plots")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 ...")
    parser.add_argument("--minutes", type=float, default=40.0, help="length of the corpus, minutes")
    parser.add_argument("--clips", type=int, help="clips kept on the device, a multiple of 32")
    parser.add_argument(
        "--budget-s",
        type=float,
        help="training time of each stage in all, seconds; default: the recipe's",
    )
    parser.add_argument(
        "--part-s", type=float, default=1e9,
        help="stop a stage after these seconds; the same command resumes it",
    )  # fmt: skip
    parser.add_argument(
        "--again", action="store_true", help="make corpus and tokenizer even if they exist"
    )
    parser.add_argument(
        "--student", action="store_true", help="export the student of stage distill instead"
    )
    parser.add_argument(
        "--max-chunks", type=int, help="longest roll-out of stage distill; default: the recipe's"
    )
    parser.add_argument(
        "--coded-movement",
        action="store_true",
        help="stages dit and distill: let the noise say how heads sway and when eyes blink",
    )
    parser.add_argument(
        "--live",
        action="store_true",
        help="stages dit and distill: train on the chunks of live sessions too: shorter ones, and "
        "such that hear nothing after their end",
    )
    parser.add_argument(
        "--start-from",
        type=Path,
        metavar="RUNS",
        help="stage dit: begin with the averaged weights of this run, the budget unspent; "
        "a state in --runs is gone on with instead",
    )
    parser.add_argument(
        "--sharded", action="store_true",
        help="stage distill under torchrun: shard the weights over the processes (FSDP2)",
    )  # fmt: skip
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the stages in the order given; stop after one that is not finished."""
    names = args.stages or STAGES
    _check(args, names)
    job = _make_job(args)
    for stage in names:
        if stage == "dit" and args.start_from is not None:
            _start_from(args.start_from, args.runs)
        if stage in TRAINED:
            if not _train(stage, job, args.part_s):
                break
        elif stage == DISTILL:
            if not _distill(job, args):
                break
        elif stage in EXTRAS:
            _make_extra(stage, args, job)
        else:
            _make(stage, args, job)
    return 0


def _check(args: argparse.Namespace, names: Sequence[str]) -> None:
    """Raise an error for wrong arguments before anything runs."""
    from flashtalk_core.errors import require

    from ..runs.ranks import num_processes
    from ..stage_1.clips import RENDER_BATCH

    for name in names:
        known = (*STAGES, DISTILL, *EXTRAS)
        require(name in known, f"stage {name!r} is unknown; use: {', '.join(known)}")
    for option, value in (
        ("--budget-s", args.budget_s), ("--part-s", args.part_s), ("--minutes", args.minutes),
    ):  # fmt: skip
        require(value is None or value > 0, f"{option} {value} must be above 0")
    for option in ("data", "out", "docs", "runs"):
        require_folder(f"--{option}", getattr(args, option))
    require(
        args.clips is None or (args.clips > 0 and args.clips % RENDER_BATCH == 0),
        f"--clips {args.clips} must be a positive multiple of {RENDER_BATCH}",
    )
    require(
        args.max_chunks is None or args.max_chunks > 0,
        f"--max-chunks {args.max_chunks} must be at least 1",
    )
    require(
        not args.sharded or num_processes() > 1,
        "--sharded shards weights over several processes; start at least two with torchrun",
    )
    require(
        "report" not in names or importlib.util.find_spec("matplotlib") is not None,
        f"stage 'report' draws plots: {missing_package('matplotlib')}, or name the other stages",
    )


def _make_job(args: argparse.Namespace) -> TrainingJob:
    from flashtalk_core.placement.devices import choose_device

    from ..recipe import TinyRecipe, tiny_config
    from ..stages import TrainingFiles, TrainingJob

    recipe = TinyRecipe()
    if args.budget_s is not None:
        recipe = replace(recipe, budgets_s=dict.fromkeys(TRAINED, args.budget_s))
    if args.clips is not None:
        recipe = replace(recipe, dit=replace(recipe.dit, num_clips=args.clips))
    if args.max_chunks is not None:
        recipe = replace(recipe, distill=recipe.distill.with_max_chunks(args.max_chunks))
    if args.coded_movement:
        recipe = recipe.with_coded_movement()
    if args.live:
        recipe = recipe.with_live_chunks()
    files = TrainingFiles(
        corpus=args.data / "corpus.safetensors",
        tokenizer=args.data / "spiece.model",
        runs=args.runs,
    )
    return TrainingJob(tiny_config(), recipe, files, choose_device(args.device))


def _start_from(source: Path, runs: Path) -> None:
    from ..runs.states import begin_from

    begin_from(source, runs, "dit")


def _train(stage: str, job: TrainingJob, part_s: float) -> bool:
    """Train for a part and return whether the stage is finished."""
    from .. import stages

    trainers = {
        "vae": stages.train_vae,
        "audio": stages.train_audio,
        "decoder": stages.train_decoder,
        "dit": stages.train_dit,
    }
    finished = trainers[stage](job, part_s)
    logger.info(
        "stage %s: %.0f of %.0f s; %s",
        stage,
        job.spent_s(stage),
        job.recipe.budgets_s[stage],
        "finished" if finished else "run the same command again to resume",
    )
    return finished


def _distill(job: TrainingJob, args: argparse.Namespace) -> bool:
    """Distil for a part and return whether the stage is finished."""
    from ..runs.ranks import joined
    from ..stages import distill

    with joined(job.device) as device:
        finished = distill(replace(job, device=device), args.part_s, sharded=args.sharded)
    logger.info(
        "stage distill: %s", "finished" if finished else "run the same command again to resume"
    )
    return finished


def _make(stage: str, args: argparse.Namespace, job: TrainingJob) -> None:
    """Run a stage that has no budget."""
    if stage == "corpus":
        _make_corpus(args, job.files.corpus)
    elif stage == "tokenizer":
        _make_tokenizer(args, job.files.tokenizer, job.config.text.vocab_size)
    elif stage == "latents":
        from ..stages import measure_latents

        measure_latents(job)
    elif stage == "export":
        _export(args, job)
    else:
        from ..report import write_report

        write_report(job.files, args.out, args.docs)


def _make_corpus(args: argparse.Namespace, path: Path) -> None:
    from ..speech.corpus import make_corpus

    if args.again or not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        make_corpus(path, args.minutes)
    else:
        from ..speech.corpus_file import corpus_minutes

        minutes = corpus_minutes(path)
        logger.info("%s exists, %.0f min; --again makes a new one", path, minutes)
        if minutes < _SHORT * args.minutes:
            logger.warning(
                "%s is shorter than --minutes %g and is kept; add --again, or use another --data",
                path, args.minutes,
            )  # fmt: skip


def _make_tokenizer(args: argparse.Namespace, path: Path, vocab_size: int) -> None:
    from ..vocabulary import make_tokenizer

    if args.again or not path.is_file():
        make_tokenizer(path, vocab_size)
    else:
        logger.info("%s exists; --again makes a new one", path)


def _export(args: argparse.Namespace, job: TrainingJob) -> None:
    from ..export import export_model
    from ..stage_2.states import is_distilled

    size = export_model(job.files, job.config, args.out, args.student)
    logger.info("wrote %s, %.2f MB", args.out, size / 1e6)
    if not args.student:
        return
    try:
        done = is_distilled(job.files.runs, job.recipe.distill)
    except InvalidInputError as error:
        logger.warning("the student was exported as it is: %s", error)
        return
    if not done:
        logger.warning("the student was exported as it is: its recipe is not finished")


def _make_extra(stage: str, args: argparse.Namespace, job: TrainingJob) -> None:
    from ..speech.example import make_example, make_long_speech

    if stage == "example":
        make_example(args.out)
    else:
        from ..speech.corpus_file import load_corpus

        make_long_speech(load_corpus(job.files.corpus), 60 * args.minutes, args.out)
