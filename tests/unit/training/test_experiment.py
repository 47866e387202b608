"""The experiment table: what is skipped, what is resumed, what is written up."""

import dataclasses
import json
import os
import signal
import textwrap

import numpy as np
import pytest
import torch

from flashtalk_core.errors import FlashTalkError, InvalidInputError
from flashtalk_core.models.attention import sdpa
from flashtalk_core.models.audio_encoder import AudioEncoder
from flashtalk_core.models.dit import AvatarDiT
from flashtalk_core.models.vae.model import VideoVAE
from flashtalk_core.training.causal import attend_causally, frame_causal
from flashtalk_core.training.data.corpus_file import save_corpus
from flashtalk_core.training.dit_trainer import Stage1Model
from flashtalk_core.training.experiment import (
    Experiment,
    Row,
    add_result,
    load_experiment,
    missing,
    read_results,
)
from flashtalk_core.training.experiment_cells import Workbench
from flashtalk_core.training.experiment_report import _DAMAGE, write_experiment
from flashtalk_core.training.experiment_run import _Board, _work_apart, run_experiment
from flashtalk_core.training.long_runs import LoopedSound, _changes
from flashtalk_core.training.recipe import DistillRecipe, TinyRecipe
from flashtalk_core.training.stages import TrainingFiles, TrainingJob
from flashtalk_core.training.states import save_state
from flashtalk_core.training.vocabulary import make_tokenizer

pytestmark = pytest.mark.cpu

TABLE = """
    seeds = [0]
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
def test_more_clips_than_there_are_is_told(job, table, tmp_path, num_workers):
    experiment = dataclasses.replace(load_experiment(table), clips=1000)
    with pytest.raises(
        InvalidInputError, match=r"clips 1000: .* held-out clips of speech; ask for"
    ):
        run_experiment(experiment, job, tmp_path / "results.jsonl", num_workers)


def test_a_tokenizer_that_is_missing_is_told(job, table, tmp_path):
    files = dataclasses.replace(job.files, tokenizer=tmp_path / "spiece.model")
    with pytest.raises(InvalidInputError, match="train tokenizer"):
        Workbench(dataclasses.replace(job, files=files), load_experiment(table))


def test_students_with_other_faces_do_not_share_them(job, table):
    bench = Workbench(job, load_experiment(table))
    two, three = (
        bench._scenes(dataclasses.replace(DistillRecipe(), num_faces=count)) for count in (2, 3)
    )
    assert [len(scenes._clip) for scenes in (two, three)] == [2, 3]
    assert bench._scenes(dataclasses.replace(DistillRecipe(), num_faces=2)) is two


def result(cell, colours, whole=True):
    drift = {"chunk": [1, 10, 100][: len(colours)], "colour_delta_e": colours}
    for name in ("structure", "softness", "join_jump"):
        drift[name] = [0.25] * len(colours)
    drift["movement"] = [0.004] * len(colours)
    lips = {"correlation_mean": 0.9 + cell.seed / 100, "shape_error": 0.1}
    made = {"key": cell.key, "lips": lips, "drift": drift, "whole": whole}
    if whole:
        sways = {"still": 0.01, "calm": 0.02, "lively": 0.04}
        made["heads"] = {name: {"sway": sway, "eyes_shut": 0.1} for name, sway in sways.items()}
        kinds = {"none": None, "cast": 3, "blur": 2 + cell.seed, "noise": 1, "shift": None}
        made["recovery"] = {
            kind: {"chunk": chunk} | {name: [0.5] * 3 for name in _DAMAGE.values()}
            for kind, chunk in kinds.items()
        }
    return made


def test_a_run_that_was_cut_short_counts_for_what_it_measured_and_is_done_again(table, tmp_path):
    experiment = dataclasses.replace(load_experiment(table), seeds=(0, 2))
    cells = [cell for cell in experiment.cells() if cell.row.student is None]
    made = [result(cells[0], [1.0, 2.0, 3.0]), result(cells[1], [1.0, 4.0], whole=False)]
    assert cells[0] not in missing(experiment, made)
    assert cells[1] in missing(experiment, made)
    results = tmp_path / "results.jsonl"
    results.write_text("".join(json.dumps(each) + "\n" for each in made))
    write_experiment(experiment, results, tmp_path)
    head, _, row, *rest = (tmp_path / "experiment.md").read_text().splitlines()
    named = dict(zip(*(line.strip("| ").split(" | ") for line in (head, row)), strict=True))
    assert named["lips"] == "0.910 +-0.014"
    assert named["sharpness"] == "0.75 (1)"
    assert named["recovered in chunk: cast, blur, noise, shift"] == "3, 2, 1, never (1)"
    assert named["change, %"] == "0.40 +-0.00"
    assert named["sway, %: still, calm, lively"] == "1.0 (1), 2.0 (1), 4.0 (1)"
    assert named["eyes shut, %: still, calm, lively"] == "10 (1), 10 (1), 10 (1)"
    # What none of the results has is no column.
    assert "structure at 100" in named
    assert not [name for name in named if name.startswith(("identity", "colour at 500"))]
    assert (named["colour at 10"], named["colour at 100"]) == ("3.0 +-1.4", "3.0 (1)")
    # Without a row of Stage 1 alone there is nothing to compare with.
    assert not rest
    unguided = dataclasses.replace(experiment.rows[0], guidance=None)
    compared = dataclasses.replace(experiment, rows=(unguided, *experiment.rows[1:]))
    results.write_text(
        "".join(json.dumps(result(cell, [1.0, 2.0, 3.0])) + "\n" for cell in compared.cells())
    )
    write_experiment(compared, results, tmp_path)
    rows = (tmp_path / "experiment.md").read_text().splitlines()
    assert rows[-2:] == [
        "| Stage 1, guided | 0 |  |  |  |  | 100 | 1.50 +-0.00 | 1.00 +-0.00 |",
        "| student | 2 | 0.000 +-0.000 | 100 | 0.0 +-0.0 | 0.000 +-0.000 | 100 | 1.50 +-0.00 "
        "| 1.00 +-0.00 |",
    ]
    assert all((tmp_path / name).stat().st_size > 0 for name in ("drift.png", "recovery.png"))


@pytest.fixture
def drawn(monkeypatch):
    """Write a report, and return the lines of its plots instead of drawing them."""
    seen = {}

    def look(figure, path):
        seen[path.name] = {
            axis.get_title(): {line.get_label(): list(line.get_ydata()) for line in axis.lines}
            for axis in figure.axes
        }

    def write(experiment, results):
        write_experiment(experiment, results, results.parent)
        return seen

    monkeypatch.setattr("flashtalk_core.training.experiment_report._save", look)
    return write


def test_plots_name_rows_with_few_seeds_and_show_what_only_some_have(table, tmp_path, drawn):
    experiment = dataclasses.replace(load_experiment(table), seeds=(0, 2))
    told, student = (dataclasses.replace(row, rule="euler", steps=4) for row in experiment.rows)
    experiment = dataclasses.replace(experiment, rows=(told, student))
    made = [result(cell, [1.0, 2.0, 3.0]) for cell in experiment.cells()]
    made = [each for each in made if each["key"] != experiment.cells()[-1].key]
    assert len(made) == 3
    for each in made[:2]:
        each["drift"]["identity"] = [0.01, 0.02, 0.03]
    results = tmp_path / "results.jsonl"
    results.write_text("".join(json.dumps(each) + "\n" for each in made))
    seen = drawn(experiment, results)
    few = f"{student.name} (1 of 2 seeds)"
    assert seen["drift.png"]["drift: colour, Delta E"].keys() == {told.name, few}
    assert seen["drift.png"]["drift: identity"] == {
        told.name: [0.01, 0.02, 0.03],
        student.name: [],
    }


def test_a_measure_that_only_a_part_of_a_run_has_is_drawn_up_to_there(table, tmp_path, drawn):
    experiment = load_experiment(table)
    row = dataclasses.replace(experiment.rows[0], steps=40, rule="euler")
    experiment = dataclasses.replace(experiment, rows=(row,))
    made = result(experiment.cells()[0], [1.0, 2.0, 3.0], whole=False)
    made["drift"]["identity"] = [0.01, 0.02, None]
    results = tmp_path / "results.jsonl"
    results.write_text(json.dumps(made) + "\n")
    assert drawn(experiment, results)["drift.png"] == {
        "drift: colour, Delta E": {row.name: [1.0, 2.0, 3.0]},
        "drift: identity": {row.name: [0.01, 0.02]},
        "drift: structure": {row.name: [0.25] * 3},
    }
    head, _, row_text = (tmp_path / "experiment.md").read_text().splitlines()[:3]
    named = dict(zip(head.split(" | "), row_text.split(" | "), strict=True))
    assert named["identity at 10"] == "0.020"
    assert "identity at 100" not in named


def test_speeds_are_those_of_one_device_which_is_named(table, tmp_path):
    experiment = load_experiment(table)
    results = tmp_path / "results.jsonl"
    for cell in experiment.cells():
        add_result(results, result(cell, [1.0, 2.0]))
    for device, way, speed in (
        ("H200", "1 steps, guided", 9.0),
        ("H200", "1 steps, not guided", 30.0),
        ("H200", "1 steps, guided", 10.0),
        ("cpu", "1 steps, guided", 0.5),
    ):
        add_result(results, {"way": way, "device": device, "frames_per_s": speed})
    write_experiment(experiment, results, tmp_path)
    head, _, *rows = (tmp_path / "experiment.md").read_text().splitlines()[:4]
    assert head.endswith("| frames/s of Stage 1, H200 |")
    assert [row.split(" | ")[-1] for row in rows] == ["10 |", "30 |"]


def test_a_line_across_in_a_name_does_not_split_a_cell(table, tmp_path):
    row = dataclasses.replace(load_experiment(table).rows[0], name="a | b")
    experiment = dataclasses.replace(load_experiment(table), rows=(row,))
    results = tmp_path / "results.jsonl"
    add_result(results, result(experiment.cells()[0], [1.0, 2.0]))
    write_experiment(experiment, results, tmp_path)
    assert "| a \\| b | 1 |" in (tmp_path / "experiment.md").read_text()


def test_a_report_without_results_has_its_columns(table, tmp_path):
    write_experiment(load_experiment(table), tmp_path / "none.jsonl", tmp_path)
    head, rule = (tmp_path / "experiment.md").read_text().splitlines()
    assert head.startswith("| row | seeds | lips |")
    assert rule.count("---") == head.count(" | ") + 1


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
        ("[students.k2]", '[students."../k2"]', "name is a folder's; use letters"),
        ("seeds = [0]", "seeds = [0, 1, 0]", "hold one twice"),
        ("seeds = [0]", "seeds = 3", "seeds 3: use a list"),
        ("seeds = [0]", "seed = [0]", "'seed' is unknown"),
        ("[[rows]]", "[[row]]", "'row' is unknown"),
        ("[[rows]]", "[rows", "mend"),
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


@pytest.mark.parametrize("offset", [0, 7, 23])
@pytest.mark.parametrize("span", [(-5, -2), (-5, 3), (0, 4), (8, 35), (-3, 40)])
def test_speech_that_ends_starts_over_and_is_silent_before_its_beginning(offset, span):
    sound = LoopedSound(np.arange(1, 11, dtype=np.float32), offset)
    places = np.arange(*span)
    assert np.array_equal(
        sound.read(*span), np.where(places < 0, 0, sound.samples[(places + offset) % 10])
    )


def test_a_frame_sees_itself_and_those_before_it(config):
    torch.manual_seed(0)
    attend = frame_causal(3)
    q, k, v = (torch.randn(1, 12, 2, 8) for _ in range(3))
    before = attend(q, k, v)
    k[:, 4:8], v[:, 4:8] = 0, 9
    after = attend(q, k, v)
    same = (before == after).all(dim=(0, 2, 3))
    assert same.tolist() == [True] * 4 + [False] * 8
    dit = AvatarDiT(config.dit)
    crossing = [block.cross_attn.attention for block in dit.blocks]
    attend_causally(dit, 3)
    assert all(block.self_attn.attention is not sdpa for block in dit.blocks)
    assert crossing == [block.cross_attn.attention for block in dit.blocks]


def test_a_join_is_compared_with_the_movement_after_it():
    light = torch.tensor([0.0, 0.3, 0.4, 0.3, 0.4])
    frames = light.view(1, -1, 1, 1, 1).expand(2, -1, 3, 4, 4)
    changes = _changes(frames)
    assert changes["movement"].tolist() == pytest.approx([0.1, 0.1])
    assert changes["join_jump"].tolist() == pytest.approx([3.0, 3.0])
