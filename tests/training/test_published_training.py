"""What is published to continue training from: the weights of Stage 1 and the recipe of Stage 2."""

import dataclasses
from pathlib import Path

import pytest
import torch

from flashtalk_core.models.vae.model import VideoVAE
from flashtalk_core.weights.load import open_avatar
from flashtalk_training.experiment.cells import _check_chunks
from flashtalk_training.experiment.table import load_experiment
from flashtalk_training.recipe import DistillRecipe, TinyRecipe, tiny_config
from flashtalk_training.stages import trained_audio_encoder, trained_stage_1, vae_to_publish

pytestmark = pytest.mark.training

ROOT = Path(__file__).parents[2]
STAGE_1 = ROOT / "flashtalk_training" / "assets" / "stage_1"
CPU = torch.device("cpu")


def test_stage_2_can_go_on_from_the_published_stage_1():
    config = tiny_config()
    bundled = open_avatar("tiny")
    vae = vae_to_publish(STAGE_1, config.vae, CPU)
    assert vae.config == bundled.config.vae
    # The bundled autoencoder is that one, with the small decoder; of the rest it holds rounded
    # copies.
    expected = bundled.load(VideoVAE, CPU, torch.float32).state_dict()
    found = vae.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in found.items())
    stage_1 = trained_stage_1(STAGE_1, config, CPU)
    audio = trained_audio_encoder(STAGE_1, config.audio, CPU)
    for module in (stage_1, audio):
        assert all(torch.isfinite(value).all() for value in module.parameters())


def test_the_command_trains_the_student_of_the_table():
    recipe = TinyRecipe().distill
    students = load_experiment(ROOT / "docs" / "training" / "experiment.toml").students
    assert students["k5"] == recipe
    assert students["k3"] == recipe.with_max_chunks(3)
    assert students["k1"] == recipe.with_max_chunks(1)


@pytest.mark.parametrize(
    "path", sorted((ROOT / "docs" / "training").rglob("*.toml")), ids=lambda path: path.parent.name
)
def test_every_table_that_is_published_can_be_run(path):
    experiment = load_experiment(path)
    _check_chunks(tiny_config().chunk, experiment)
    assert {row.student for row in experiment.rows} - {None} == experiment.students.keys()


def test_the_tables_hold_the_papers_method_alone_and_the_commands_recipes():
    folder = ROOT / "docs" / "training"
    paper = load_experiment(folder / "paper" / "experiment.toml").students
    # What is not said has the default, which is the paper's method.
    assert paper["paper"] == DistillRecipe(num_steps=1000, batch=8, student_every=5, save_every=100)
    phased = dataclasses.replace(TinyRecipe().distill, phased=True)
    assert paper["k5-phased"] == phased
    live = load_experiment(folder / "live" / "experiment.toml").students
    assert live["k5"] == TinyRecipe().distill
    assert live["live"] == TinyRecipe().with_live_chunks().distill
