"""The experiment table: what is skipped, what is resumed, what is written up."""

import dataclasses
import json
import textwrap

import pytest
import torch

from flashtalk_core.errors import InvalidInputError
from flashtalk_core.models.audio_encoder import AudioEncoder
from flashtalk_core.models.vae.model import VideoVAE
from flashtalk_core.training.data.corpus_file import save_corpus
from flashtalk_core.training.dit_trainer import Stage1Model
from flashtalk_core.training.experiment import load_experiment, missing, read_results
from flashtalk_core.training.experiment_run import run_experiment
from flashtalk_core.training.recipe import TinyRecipe
from flashtalk_core.training.stages import TrainingFiles, TrainingJob
from flashtalk_core.training.states import load_notes, save_state
from flashtalk_core.training.vocabulary import make_tokenizer

pytestmark = pytest.mark.cpu

TABLE = """
    seeds = [0, 1]
    faces = 1
    clips = 1
    [recipe]
    num_steps = 2
    batch = 1
    num_faces = 2
    steps = 2
    student_every = 1
    save_every = 1
    [students.k2]
    max_chunks = 2
    damaged_motion_share = 1.0
    mouth_weight = 1.0
    [students.causal]
    max_chunks = 1
    causal = true
    noised_teacher_motion = true
    text_scale = 3.0
    [[rows]]
    name = "Stage 1, guided"
    steps = 1
    guidance = [3.0, 4.0]
    chunks = 2
    [[rows]]
    name = "student"
    student = "k2"
    steps = 1
    rule = "renoise"
    chunks = 1
    recovery = true
    [[rows]]
    name = "causal"
    student = "causal"
    steps = 1
    chunks = 1
"""


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("table") / "experiment.toml"
    path.write_text(textwrap.dedent(TABLE))
    return path


@pytest.fixture(scope="module")
def job(config, corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stage_1")
    files = TrainingFiles(folder / "corpus.safetensors", folder / "spiece.model", folder / "runs")
    short = dataclasses.replace(config, chunk=config.chunk)
    save_corpus(corpus, files.corpus)
    make_tokenizer(files.tokenizer, config.text.vocab_size)
    torch.manual_seed(0)
    parts = {"vae": VideoVAE(config.vae), "dit": Stage1Model(config)}
    for name, module in parts.items():
        weights = {f"average.{key}": value for key, value in module.named_parameters()}
        save_state(files.runs, name, weights, {"step": 1.0})
    encoder = AudioEncoder(config.audio).state_dict()
    weights = {f"average.encoder.{key}": value for key, value in encoder.items()}
    save_state(files.runs, "audio", weights, {"step": 1.0})
    return TrainingJob(short, TinyRecipe(), files, torch.device("cpu"))


def test_cells_are_made_once_and_again_only_when_the_table_changes(table, job, tmp_path):
    experiment, results = load_experiment(table), tmp_path / "results.jsonl"
    assert not run_experiment(experiment, job, results, 1, part_s=0.0)
    assert read_results(results) == []
    assert run_experiment(experiment, job, results, 1)
    made = read_results(results)
    assert sorted((r["row"], r["seed"]) for r in made if "row" in r) == [
        (row, seed) for row in ("Stage 1, guided", "causal", "student") for seed in (0, 1)
    ]
    assert {r["way"] for r in made if "way" in r} == {"1 steps, guided", "1 steps, not guided"}
    student = next(r for r in made if r.get("row") == "student")
    assert set(student["recovery"]) == {"none", "cast", "blur", "noise", "shift"}
    assert student["drift"]["chunk"] == [1]
    text = results.read_text()
    assert run_experiment(experiment, job, results, 1)
    assert results.read_text() == text
    longer = dataclasses.replace(experiment, clips=2)
    assert len(missing(longer, read_results(results))) == 6
