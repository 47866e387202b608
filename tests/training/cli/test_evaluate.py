"""What ``evaluate`` refuses before it measures anything."""

import sys
from pathlib import Path

import pytest

from flashtalk_training.cli.main import main

pytestmark = pytest.mark.training


def refusal(capsys, *arguments):
    assert main(["evaluate", *map(str, arguments)]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("\n") == 1
    return shown.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["lipps"], "'lipps' is no part; use any of lips, vae, trips, drift, silence"),
        (["lips", "quiet"], "'quiet' is no part"),
        (["--faces", "0"], "--faces: '0' is no count"),
        (["--clips=-1"], "--clips: '-1' is no count"),
        (["--chunks", "x"], "--chunks: 'x' is no count"),
        (["--silence-s", "0"], "--silence-s: '0' is no count"),
        (["lips", "--clips", "1"], "--clips 1: lips are compared with the audio of another clip"),
        (["--dtype", "int8"], "int8"),
        (["vae", "--data", "/no/such"], "/no/such"),
        (["lips", "--chunk-frames", "18"], "chunk of 18 frames: use 4n + 1, from 9 to 197"),
        (["lips", "--look-ahead", "26"], "look-ahead 26: use 0 to 25 frames"),
    ],
)
def test_wrong_arguments_are_one_line(capsys, arguments, said):
    assert said in refusal(capsys, *arguments)


def test_the_place_of_the_report_is_checked_first(capsys, tmp_path):
    nowhere = ["--model", "/no/such/model", "-o"]
    assert "this is a folder" in refusal(capsys, *nowhere, tmp_path)
    assert "create it first" in refusal(capsys, *nowhere, tmp_path / "none" / "r.json")
    if sys.platform == "linux":  # where not even root may create files
        assert "cannot be written" in refusal(capsys, *nowhere, Path("/proc/r.json"))
    assert "/no/such/model" in refusal(capsys, *nowhere, tmp_path / "r.json")
    assert list(tmp_path.iterdir()) == []
