"""The experiment written up: what the table says, what the plots show."""

import dataclasses
import json

import pytest

from flashtalk_training.experiment.report import _DAMAGE, write_experiment
from flashtalk_training.experiment.table import add_result, load_experiment, missing, read_results

pytestmark = pytest.mark.training


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
    write_experiment(experiment, read_results(results), tmp_path)
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
    write_experiment(compared, read_results(results), tmp_path)
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
        write_experiment(experiment, read_results(results), results.parent)
        return seen

    monkeypatch.setattr("flashtalk_training.experiment.report._save", look)
    return write


def test_plots_name_rows_with_few_seeds_and_show_what_only_some_have(table, tmp_path, drawn):
    experiment = dataclasses.replace(load_experiment(table), seeds=(0, 2))
    first, student = (dataclasses.replace(row, rule="euler", steps=4) for row in experiment.rows)
    experiment = dataclasses.replace(experiment, rows=(first, student))
    made = [result(cell, [1.0, 2.0, 3.0]) for cell in experiment.cells()]
    made = [each for each in made if each["key"] != experiment.cells()[-1].key]
    assert len(made) == 3
    for each in made[:2]:
        each["drift"]["identity"] = [0.01, 0.02, 0.03]
    results = tmp_path / "results.jsonl"
    results.write_text("".join(json.dumps(each) + "\n" for each in made))
    seen = drawn(experiment, results)
    few = f"{student.name} (1 of 2 seeds)"
    assert seen["drift.png"]["drift: colour, Delta E"].keys() == {first.name, few}
    assert seen["drift.png"]["drift: identity"] == {
        first.name: [0.01, 0.02, 0.03],
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
    write_experiment(experiment, read_results(results), tmp_path)
    head, _, *rows = (tmp_path / "experiment.md").read_text().splitlines()[:4]
    assert head.endswith("| frames/s of Stage 1, H200 |")
    assert [row.split(" | ")[-1] for row in rows] == ["10 |", "30 |"]


def test_a_line_across_in_a_name_does_not_split_a_cell(table, tmp_path):
    row = dataclasses.replace(load_experiment(table).rows[0], name="a | b")
    experiment = dataclasses.replace(load_experiment(table), rows=(row,))
    results = tmp_path / "results.jsonl"
    add_result(results, result(experiment.cells()[0], [1.0, 2.0]))
    write_experiment(experiment, read_results(results), tmp_path)
    assert "| a \\| b | 1 |" in (tmp_path / "experiment.md").read_text()


def test_a_report_without_results_has_its_columns(table, tmp_path):
    write_experiment(load_experiment(table), read_results(tmp_path / "none.jsonl"), tmp_path)
    head, rule = (tmp_path / "experiment.md").read_text().splitlines()
    assert head.startswith("| row | seeds | lips |")
    assert rule.count("---") == head.count(" | ") + 1
