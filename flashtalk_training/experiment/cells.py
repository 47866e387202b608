"""What one cell of the experiment takes: a student trained, and a row measured."""

from __future__ import annotations

import copy
import dataclasses
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from flashtalk_core.config.chunk import ChunkConfig
from flashtalk_core.config.sampling import SamplingConfig
from flashtalk_core.errors import require
from flashtalk_core.geometry import num_latent_frames
from flashtalk_core.models.transformer.model import AvatarDiT
from flashtalk_core.weights.load import AvatarModels

from ..chunk_lengths import check_lengths, chunk_of
from ..evaluation.batched_sessions import HeldOutFaces
from ..evaluation.drift import RECOVERY_CHUNKS, evaluate_drift, evaluate_recovery
from ..evaluation.eval_clip import held_out_clips
from ..evaluation.measures import evaluate_lips
from ..evaluation.movement import evaluate_movement
from ..recipe import DistillRecipe
from ..speech.corpus_file import load_corpus
from ..stage_1.audio_windows import AudioBank
from ..stage_2.causal import attend_causally
from ..stage_2.scenes import SceneBank
from ..stage_2.states import STATE, is_distilled
from ..stage_2.trainer import DistillTrainer
from ..stages import (
    TrainingJob,
    load_average,
    prompt_tokens,
    trained_audio_encoder,
    trained_stage_1,
    trained_vae,
)
from .table import Cell, Experiment, Row

logger = logging.getLogger(__name__)

_BANK_SEED = 4
_FACES_FROM = 500
_SPEED_CHUNKS = 8
_LIPS = ("correlation_mean", "correlation_pooled", "shut_when_closed", "shape_error")
_DRIFT = (
    "chunk", "colour_delta_e", "identity", "structure", "softness", "movement", "join_jump",
)  # fmt: skip
_DIGITS = 4


class Workbench:
    """Stage 1, loaded once, from which students are trained and rows are measured."""

    def __init__(self, job: TrainingJob, experiment: Experiment) -> None:
        """Load.

        Args:
            job: Files of Stage 1, and the device.
            experiment: Its students are trained in folders of their own under the job's runs.
        """
        files, device = job.files, job.device
        _check_chunks(job.config.chunk, experiment)
        self._experiment, self._runs = experiment, files.runs
        self._device = device
        vae = trained_vae(files.runs, job.config.vae, device)
        self._job = dataclasses.replace(job, config=dataclasses.replace(job.config, vae=vae.config))
        self._vae = vae
        self._audio = trained_audio_encoder(files.runs, job.config.audio, device)
        self._stage_1 = trained_stage_1(files.runs, job.config, device)
        self._tokenizer = files.read_tokenizer()
        self._corpus = load_corpus(files.corpus)
        self._clips = held_out_clips(self._corpus, experiment.clips, job.config.size_px)
        require(
            len(self._clips) == experiment.clips,
            f"clips {experiment.clips}: {files.corpus} has {len(self._clips)} held-out clips of "
            "speech; use at most as many",
        )
        self._banks: dict[int, SceneBank] = {}

    def folder(self, student: str, seed: int) -> Path:
        """Return where a student's states and curve are."""
        return self._runs / "students" / f"{student}-{seed}"

    def train(self, student: str, seed: int, part_s: float) -> bool:
        """Train a student for a part and return whether it is done.

        Of one that is done, the averaged weights are all that must be there.
        """
        recipe, folder = self._experiment.students[student], self.folder(student, seed)
        if is_distilled(folder, recipe):
            return True
        trainer = DistillTrainer(
            self._job.config, recipe, self._stage_1.dit, self._vae, self._scenes(recipe),
            folder, seed=_BANK_SEED + seed * 100_003,
        )  # fmt: skip
        return trainer.run(part_s)

    def _scenes(self, recipe: DistillRecipe) -> SceneBank:
        """Return the sessions to train on; students with as many faces share them."""
        if recipe.num_faces not in self._banks:
            self._banks[recipe.num_faces] = SceneBank(
                self._job.config, recipe.num_faces, self._vae, self._audio, self._stage_1,
                prompt_tokens(self._job), AudioBank.from_corpus(self._corpus, False, self._device),
                _BANK_SEED,
            )  # fmt: skip
        return self._banks[recipe.num_faces]

    def measure(self, cell: Cell, is_over: Callable[[], bool]) -> dict[str, Any]:
        """Measure a cell; its student is trained.

        Args:
            cell: Row and seed.
            is_over: Called during the long run; once true, the run is cut short.
        """
        row, seed, experiment = cell.row, cell.seed, self._experiment
        models = self.models(row, seed)
        sampling = self._sampling(row, 1000 * seed)
        count = experiment.faces
        held_out = HeldOutFaces(count, _FACES_FROM + count * seed, row.guidance)
        lips = evaluate_lips(models, self._clips, sampling, row.guidance)
        result: dict[str, Any] = {"row": row.name, "seed": seed, "key": cell.key}
        result["lips"] = _rounded({name: lips[name] for name in _LIPS})
        logger.info("%s, seed %d: %s", row.name, seed, result["lips"])
        drift = evaluate_drift(models, self._corpus, sampling, row.chunks, held_out, is_over)
        result["drift"] = {name: [_round(seen[name]) for seen in drift] for name in _DRIFT}
        result["whole"] = result["drift"]["chunk"][-1:] == [row.chunks]
        heads = evaluate_movement(models, self._corpus, sampling, held_out)
        result["heads"] = {name: _rounded(values) for name, values in heads.items()}
        if row.recovery:
            recovery = evaluate_recovery(models, self._corpus, sampling, RECOVERY_CHUNKS, held_out)
            result["recovery"] = {
                kind: {
                    **_columns([values["start"], *values["rows"]]),
                    "chunk": values.get("recovered_in_chunk"),
                }
                for kind, values in recovery.items()
            }
        return result

    def models(self, row: Row, seed: int) -> AvatarModels:
        """Return the model of a row: Stage 1, with a student's transformer in its place if any."""
        dit, model = self._stage_1.dit, self._stage_1
        config = self._job.config
        chunk = _chunk(config.chunk, row)
        config = dataclasses.replace(config, chunk=chunk)
        if row.student is not None:
            dit = self._student(row.student, seed, chunk.num_frames)
        vae = self._vae
        if self._device.type == "cuda":
            vae = copy.deepcopy(vae).half()
        return AvatarModels(config, dit, vae, model.text, self._tokenizer, model.clip, self._audio)

    def _student(self, student: str, seed: int, num_frames: int) -> AvatarDiT:
        dit = copy.deepcopy(self._stage_1.dit)
        load_average(dit, self.folder(student, seed), STATE, "dit.")
        if self._experiment.students[student].causal:
            attend_causally(dit, num_latent_frames(num_frames))
        return dit

    def _sampling(self, row: Row, seed: int) -> SamplingConfig:
        base = self._job.config.sampling
        return dataclasses.replace(base, steps=row.steps, rule=row.rule, seed=seed)

    def speed(self, row: Row) -> float:
        """Return frames a second of a single session of Stage 1 with the row's sampling."""
        models = self.models(dataclasses.replace(row, student=None), 0)
        sessions, _ = HeldOutFaces(1, _FACES_FROM, row.guidance).talking(
            models, self._corpus, self._sampling(row, 0)
        )
        start, last = 0.0, torch.empty(0)
        for index, last in enumerate(sessions.play(_SPEED_CHUNKS + 2)):
            last.cpu()
            if index == 1:
                start = time.perf_counter()
        return _SPEED_CHUNKS * last.shape[1] / (time.perf_counter() - start)


def _chunk(chunk: ChunkConfig, row: Row) -> ChunkConfig:
    """Return the arithmetic of a row's chunks, where that of the model is ``chunk``."""
    return chunk_of(chunk, row.chunk_frames, 0 if row.live else None)


def _check_chunks(chunk: ChunkConfig, experiment: Experiment) -> None:
    """Raise for chunks that cannot be, before anything is trained."""
    for row in experiment.rows:
        _chunk(chunk, row)
    for recipe in experiment.students.values():
        check_lengths(chunk, recipe.chunk_lengths)


def _columns(rows: list[dict[str, float]]) -> dict[str, list[float]]:
    """Lay rows out as one list for each value."""
    return {name: [_round(row[name]) for row in rows] for name in rows[0]}


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: _round(value) for name, value in values.items()}


def _round(value: float) -> float:
    return round(float(value), _DIGITS)
