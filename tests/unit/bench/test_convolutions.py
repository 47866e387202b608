"""Convolutions of the autoencoder one by one: all stages are there."""

import json

import pytest

from flashtalk_core.cli.main import main

pytestmark = pytest.mark.bench


def test_every_convolution_is_counted_and_an_eager_stage_equals_itself(capsys):
    options = ["--model", "tiny", "--size", "64x64", "--device", "cpu", "--repeats", "1"]
    assert main(["bench", "convolutions", *options, "--speed", "plain", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    stages = {row["stage"] for row in found["convolutions"]}
    assert stages == {"motion encode", "decode"}
    assert all(row["count"] >= 1 and row["total_ms"] > 0 for row in found["convolutions"])
    eager = [row for row in found["ways"] if row["way"] == "eager"]
    assert len(eager) == 2
    assert all(row["equal"] and not row["failure"] for row in eager)


def test_no_repeats_are_refused_with_a_remedy(capsys):
    assert main(["bench", "convolutions", "--model", "tiny", "--repeats", "0"]) == 2
    assert "repeats 0: use 1 or more" in capsys.readouterr().err
