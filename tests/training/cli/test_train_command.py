"""The command that trains: what it refuses, and where it stops."""

import argparse
import importlib.util

import pytest

from flashtalk_training.cli import train
from flashtalk_training.cli.main import main
from flashtalk_training.speech.corpus_file import corpus_minutes, save_corpus

pytestmark = pytest.mark.training


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--budget-s", "0"], "--budget-s 0.0 must be above 0"),
        (["--part-s", "-1"], "--part-s -1.0 must be above 0"),
        (["--minutes", "nan"], "--minutes nan must be above 0"),
        (["--clips", "0"], "--clips 0 must be a positive multiple of 32"),
        (["--clips", "33"], "--clips 33 must be a positive multiple of 32"),
        (["--max-chunks", "0"], "--max-chunks 0 must be at least 1"),
        (["vea"], "stage 'vea' is unknown"),
    ],
)
def test_faulty_arguments_are_refused_before_anything_runs(
    options, said, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "tokenizer", *options]) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_report_without_its_package_is_refused_at_the_start(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert main(["train", "tokenizer", "report"]) == 2
    assert "package matplotlib is not installed; run " in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("options", [[], ["--live"], ["--live", "--coded-movement"]])
def test_what_is_trained_follows_the_options(options):
    parser = argparse.ArgumentParser()
    train.add_parser(parser.add_subparsers())
    recipe = train._make_job(parser.parse_args(["train", "--device", "cpu", *options])).recipe
    for part in (recipe.dit, recipe.distill):
        assert part.chunk_lengths == ((33, 21, 17) if "--live" in options else ())
        assert part.coded_movement == ("--coded-movement" in options)


def test_a_tokenizer_that_is_there_is_kept_unless_asked_for_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "data" / "spiece.model"
    path.parent.mkdir()
    path.write_bytes(b"mine")
    command = ["train", "tokenizer", "--device", "cpu"]
    assert main(command) == 0
    assert path.read_bytes() == b"mine"
    assert main([*command, "--again"]) == 0
    assert path.read_bytes() != b"mine"


@pytest.mark.parametrize("option", ["--data", "--out", "--docs", "--runs"])
def test_a_file_in_place_of_a_folder_is_refused(option, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").write_text("mine")
    assert main(["train", "tokenizer", option, "taken"]) == 2
    assert f"{option} taken: taken is a file; name a folder" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_a_corpus_that_is_kept_though_too_short_is_reported(corpus, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    path = tmp_path / "data" / "corpus.safetensors"
    save_corpus(corpus, path)
    before = path.read_bytes()
    command = ["train", "corpus", "--device", "cpu", "--minutes"]
    assert main([*command, str(corpus_minutes(path))]) == 0
    assert "shorter" not in capsys.readouterr().err
    assert main([*command, "240"]) == 0
    assert "is shorter than --minutes 240 and is kept; add --again" in capsys.readouterr().err
    assert path.read_bytes() == before


def test_an_unfinished_stage_ends_the_command_with_success(corpus, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    save_corpus(corpus, tmp_path / "data" / "corpus.safetensors")
    # The part is over before its first step; the next stage would miss its state and fail.
    assert main(["train", "audio", "latents", "--part-s", "1e-9", "--device", "cpu"]) == 0
    assert "stage audio: 0 of 240 s; run the same command again" in capsys.readouterr().err
