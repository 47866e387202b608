"""The experiment table: what is skipped, what is resumed, what is refused."""

import dataclasses
import os
import signal
import textwrap

import pytest
import torch

from flashtalk_core.errors import FlashTalkError, InvalidInputError
from flashtalk_core.live.chunks import live_chunk
from flashtalk_core.models.encoders.audio import AudioEncoder
from flashtalk_core.models.vae.model import VideoVAE
from flashtalk_training.experiment.cells import Workbench
from flashtalk_training.experiment.run import _Board, _work_apart, run_experiment
from flashtalk_training.experiment.table import (
    Experiment,
    Row,
    add_result,
    load_experiment,
    missing,
    read_results,
)
from flashtalk_training.recipe import DistillRecipe, TinyRecipe
from flashtalk_training.runs.states import save_state
from flashtalk_training.speech.corpus_file import save_corpus
from flashtalk_training.stage_1.dit_trainer import Stage1Model
from flashtalk_training.stages import TrainingFiles, TrainingJob
from flashtalk_training.vocabulary import make_tokenizer
from tests.training.small_table import TABLE

pytestmark = pytest.mark.training


@pytest.fixture(scope="module")
def job(config, corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stage_1")
    files = TrainingFiles(folder / "corpus.safetensors", folder / "spiece.model", folder / "runs")
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
    return TrainingJob(config, TinyRecipe(), files, torch.device("cpu"))


def test_keys_stay_what_they_were_when_settings_are_added():
    """Committed results are found by them."""
    recipe = DistillRecipe(num_steps=100, max_chunks=3)
    rows = (Row(name="Stage 1"), Row(name="three", student="k3", chunks=100, guidance=(1.0, 2.0)))
    cells = Experiment((0,), 8, 50, {"k3": recipe}, rows).cells()
    assert [cell.key for cell in cells] == ["3a49b5086b72", "6321d3d5b834"]


def test_cells_are_made_once_and_again_only_when_the_table_changes(table, job, tmp_path):
    experiment, results = load_experiment(table), tmp_path / "results.jsonl"
    assert not run_experiment(experiment, job, results, 1, part_s=0.0)
    assert read_results(results) == []
    assert run_experiment(experiment, job, results, 1)
    made = read_results(results)
    assert {r["row"] for r in made if "row" in r} == {"Stage 1, guided", "student"}
    speeds = [(r["way"], r["device"]) for r in made if "way" in r]
    assert sorted(speeds) == [("1 steps, guided", "cpu"), ("1 steps, not guided", "cpu")]
    guided = next(r for r in made if r.get("row") == "Stage 1, guided")
    assert guided["drift"]["chunk"] == [1, 2]
    text = results.read_text()
    assert run_experiment(experiment, job, results, 1)
    assert results.read_text() == text
    longer = dataclasses.replace(experiment, clips=2)
    assert len(missing(longer, read_results(results))) == 2


def kill_yourself(tasks, outcomes):
    """Be the worker that the system kills when memory runs out."""
    tasks.get()
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_is_killed_ends_the_run_instead_of_being_waited_for(table, tmp_path):
    board = _Board(load_experiment(table).cells())
    with pytest.raises(FlashTalkError, match=r"ended with code -9.* fewer --workers"):
        _work_apart(board, [kill_yourself], tmp_path / "results.jsonl")


@pytest.mark.parametrize("num_workers", [1, 2])
def test_asking_for_more_clips_than_there_are_is_refused(job, table, tmp_path, num_workers):
    experiment = dataclasses.replace(load_experiment(table), clips=1000)
    with pytest.raises(InvalidInputError, match=r"clips 1000: .* held-out clips of speech; use at"):
        run_experiment(experiment, job, tmp_path / "results.jsonl", num_workers)


def test_a_tokenizer_that_is_missing_is_reported(job, table, tmp_path):
    files = dataclasses.replace(job.files, tokenizer=tmp_path / "spiece.model")
    with pytest.raises(InvalidInputError, match="train tokenizer"):
        Workbench(dataclasses.replace(job, files=files), load_experiment(table))


def test_a_row_is_played_with_its_own_chunks(job, table):
    bench = Workbench(job, load_experiment(table))
    plain, live = (
        bench.models(row, 0).config.chunk
        for row in (Row(name="a"), Row(name="b", chunk_frames=13, live=True))
    )
    assert plain == job.config.chunk
    assert live == live_chunk(job.config.chunk, 13)


def test_chunks_that_cannot_be_are_refused_before_anything_is_trained(job, table):
    experiment = load_experiment(table)
    for changes, said in (
        ({"rows": (Row(name="a", chunk_frames=12),)}, "chunk of 12 frames: use 4n"),
        ({"students": {"k": DistillRecipe(chunk_lengths=(13,))}}, "13 frames: training clips have"),
    ):
        with pytest.raises(InvalidInputError, match=said):
            Workbench(job, dataclasses.replace(experiment, **changes))


def test_students_with_other_faces_do_not_share_them(job, table):
    bench = Workbench(job, load_experiment(table))
    two, three = (
        bench._scenes(dataclasses.replace(DistillRecipe(), num_faces=count)) for count in (2, 3)
    )
    assert [len(scenes._clip) for scenes in (two, three)] == [2, 3]
    assert bench._scenes(dataclasses.replace(DistillRecipe(), num_faces=2)) is two


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("chunks = 2", "chunk = 2", "student 'k2': 'max_chunk' is unknown"),
        ("chunks = 2", 'chunks = "2"', "chunks '2': use a whole number from 1 on"),
        ("chunks = 2", "chunks = 0", "chunks 0: use a whole number from 1 on"),
        ("steps = 1", "steps = 101", "steps 101: use 1 to 100"),
        ('rule = "renoise"', 'rule = "eular"', "rule 'eular': use 'renoise' or 'euler'"),
        ("[3.0, 4.0]", "3.0", "guidance 3.0: use a list"),
        ("[3.0, 4.0]", "[3.0]", "guidance .3.0.: use a list"),
        ('name = "student"', "", "row: 'name' is missing"),
        ('name = "student"', 'name = "Stage 1, guided"', "2 rows are called 'Stage 1, guided'"),
        ('student = "k2"', 'student = "k9"', "names no student"),
        ("causal = true", "causal = 1", "student 'k2': causal 1: use true or false"),
        ("text_scale = 3.0", "text_scale = nan", "text_scale nan: use a number from 0 on"),
        ("num_steps = 2", "num_steps = 2.5", "recipe: num_steps 2.5: use a whole number"),
        ("causal = true", "steps = 500", "student 'k2': steps 500: use 1 to 100"),
        ("causal = true", "lasting_sessions = 1\nbatch = 2", "needs at least the batch of 2"),
        (
            "max_chunks = 2",
            "max_chunks = 1",
            "'k2': damaged_motion_share 1.0: needs max_",
        ),
        ("damaged_motion_share = 1.0", "damaged_motion_share = 3.0", "3.0 is no share; use a num"),
        ("causal = true", "chunk_lengths = 17", "'k2': chunk_lengths 17: use a list"),
        ("causal = true", "chunk_lengths = [17, true]", "chunk_lengths .17, True.: use a list"),
        ("num_steps = 2", "chunk_lengths = [33, 17]", "'k2': chunk_lengths .33, 17.: a causal"),
        ("[students.k2]", '[students."../k2"]', "name is a folder's; use letters"),
        ("seeds = [0]", "seeds = [0, 1, 0]", "contain one twice"),
        ("seeds = [0]", "seeds = 3", "seeds 3: use a list"),
        ("seeds = [0]", "seed = [0]", "'seed' is unknown"),
        ("[[rows]]", "[[row]]", "'row' is unknown"),
        ("[[rows]]", "[rows", "correct the file"),
    ],
)
def test_a_wrong_table_is_refused_before_anything_is_loaded(tmp_path, right, wrong, said):
    path = tmp_path / "experiment.toml"
    path.write_text(textwrap.dedent(TABLE).replace(right, wrong, 1))
    with pytest.raises(InvalidInputError, match=said) as fault:
        load_experiment(path)
    assert "\n" not in str(fault.value)


def test_a_table_may_leave_out_all_but_the_rows(tmp_path):
    path = tmp_path / "experiment.toml"
    path.write_text('[[rows]]\nname = "Stage 1"\n')
    experiment = load_experiment(path)
    assert experiment == Experiment((0,), 8, 50, {}, (Row(name="Stage 1"),))
    for rows, said in (("", "'rows' is missing"), ("rows = []", "there are no rows; add")):
        path.write_text(f"seeds = [0]\n{rows}\n")
        with pytest.raises(InvalidInputError, match=said):
            load_experiment(path)


def test_a_result_that_was_cut_off_is_named(tmp_path):
    path = tmp_path / "results.jsonl"
    whole = '{"key": "a", "lips": {}, "drift": {"chunk": []}}'
    faulty = '{"key": "b", "lips": {}, "drift": {}}'
    for cut in ('{"key": "b', '{"key": "b"}', "[]", faulty, '{"way": "a"}', "\xe9"):
        path.write_text(f"{whole}\n\n{cut}", encoding="latin-1")
        with pytest.raises(InvalidInputError, match="line 3 is no whole result"):
            read_results(path)


def test_a_result_gets_a_line_of_its_own(tmp_path):
    path = tmp_path / "results.jsonl"
    timed = [{"way": way, "device": "cpu", "frames_per_s": 1.0} for way in "abc"]
    add_result(path, timed[0])
    path.write_text(path.read_text().rstrip())
    add_result(path, timed[1])
    add_result(path, timed[2])
    assert [result["way"] for result in read_results(path)] == ["a", "b", "c"]
    assert path.read_text().endswith("}\n")
