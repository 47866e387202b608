"""What launching kernels costs: every row is there, and nothing is left switched on."""

import json

import pytest
import torch

from flashtalk_core.bench.launches.clock import time_calls
from flashtalk_core.cli.main import main

pytestmark = pytest.mark.bench


def test_steps_and_encoder_are_measured_in_both_modes(capsys):
    options = ["--model", "tiny", "--sizes", "32x32", "64x32", "--device", "cpu", "--no-float8"]
    assert (
        main(["bench", "launches", *options, "--speed", "plain", "--repeats", "1", "--json"]) == 0
    )
    found = json.loads(capsys.readouterr().out)
    assert [row["size_px"] for row in found["steps"]] == [[32, 32], [64, 32]]
    assert [row["tokens"] for row in found["steps"]] == [36, 72]
    assert [row["mode"] for row in found["encoder"]] == ["eager", "graph"]
    assert all(row["equal"] for part in found.values() for row in part)
    assert all(row["tflop_per_s"] > 0 for row in found["encoder"])


def test_no_measured_call_is_reported(capsys):
    assert main(["bench", "launches", "--model", "tiny", "--repeats", "0"]) == 2
    assert "repeats 0: use 1 or more" in capsys.readouterr().err


def test_a_call_takes_no_longer_to_launch_than_in_all():
    calls = []
    found = time_calls(lambda: calls.append(None), torch.device("cpu"), 3)
    assert 0 <= found.launch_ms <= found.total_ms
    assert len(calls) == 4
