"""What ``experiment`` refuses before it trains or measures anything."""

import json
import logging

import pytest

from flashtalk_training.cli.main import main
from flashtalk_training.experiment.table import load_experiment

pytestmark = pytest.mark.training


@pytest.fixture
def table(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "table.toml"
    path.write_text('[[rows]]\nname = "Stage 1"\n')
    return path


def refusal(capsys, *arguments):
    assert main(["experiment", *map(str, arguments)]) == 2
    shown = capsys.readouterr().err
    assert shown.count("error: ") == 1
    return shown


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "--table", "nowhere.toml"], "nowhere.toml: no such file"),
        (["run", "--table", "table.toml", "--part-s", "0"], "--part-s 0.0 must be above 0"),
        (["run", "--table", "table.toml", "--part-s", "nan"], "--part-s nan must be above 0"),
        (["run", "--table", "table.toml", "--workers", "0"], "'0' is no count"),
        (["run", "--table", "table.toml", "--results", "no/r.jsonl"], "no folder no; create it"),
        (["run", "--table", "table.toml", "--results", "."], "this is a folder"),
        (["run", "--table", "table.toml", "--results", "r.jsonl"], "no state of stage 'vae'"),
        (["report", "--table", "table.toml", "--results", "r.jsonl"], "r.jsonl: no such file"),
        (["report", "--table", "table.toml"], "results table.jsonl: no such file"),
    ],
)
def test_faulty_arguments_are_reported_in_one_line(capsys, table, arguments, said):
    assert said in refusal(capsys, *arguments, "--device", "cpu")
    assert [path.name for path in table.parent.iterdir()] == ["table.toml"]


def test_a_report_of_nothing_replaces_no_other(capsys, table):
    pytest.importorskip("matplotlib")
    docs = table.parent / "docs"
    docs.mkdir()
    (docs / "experiment.md").write_text("another table's")
    results = docs / "experiment.jsonl"
    results.write_text('{"key": "another", "lips": {}, "drift": {"chunk": []}}\n')
    said = refusal(capsys, "report", "--table", table, "--results", results)
    assert f"none of the 1 cells of {table}; give its own with --results" in said
    assert (docs / "experiment.md").read_text() == "another table's"


def test_a_report_tells_how_many_cells_were_cut_short(caplog, table):
    pytest.importorskip("matplotlib")
    table.write_text('seeds = [0, 1]\n[[rows]]\nname = "Stage 1"\n')
    results = table.with_suffix(".jsonl")
    drift = {"chunk": [1], "colour_delta_e": [1.0], "structure": [0.1], "softness": [0.1]}
    for cell, whole in zip(load_experiment(table).cells(), (True, False), strict=True):
        lips = {"correlation_mean": 0.9, "shape_error": 0.1}
        made = {"key": cell.key, "lips": lips, "drift": drift, "whole": whole}
        with results.open("a") as file:
            file.write(json.dumps(made) + "\n")
    with caplog.at_level(logging.INFO):
        assert main(["experiment", "report", "--table", str(table)]) == 0
    assert f"2 of 2 cells, 1 of them cut short, written to {table.parent}" in caplog.text


def test_a_report_of_some_cells_replaces_no_other(capsys, table):
    """Rows of Stage 1 are cells of many tables."""
    pytest.importorskip("matplotlib")
    (cell,) = load_experiment(table).cells()
    lips, drift = {"correlation_mean": 0.9, "shape_error": 0.1}, {"chunk": []}
    docs = table.parent / "docs"
    docs.mkdir()
    results = docs / "experiment.jsonl"
    results.write_text(json.dumps({"key": cell.key, "lips": lips, "drift": drift}) + "\n")
    report = ["report", "--table", table, "--results", results]
    assert "lie in two folders; name the one" in refusal(capsys, *report)
    for taken in (results, results / "below"):
        said = refusal(capsys, *report, "--docs", taken)
        assert f"--docs {taken}: {results} is a file; name a folder" in said
    assert list(docs.iterdir()) == [results]
    results.rename(table.with_suffix(".jsonl"))
    table.with_name("other.toml").write_text("")
    said = refusal(capsys, "report", "--table", table)
    assert "holds other.toml next to table.toml, whose report could be there; name a folder" in said
