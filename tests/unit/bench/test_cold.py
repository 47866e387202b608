"""A cold start, taken apart: in this process, and at the tiny model's size."""

import json
import time
from dataclasses import replace

import pytest

from flashtalk_core.bench.cold import _write_weights, report_start
from flashtalk_core.weights.load import open_avatar

pytestmark = pytest.mark.cpu

OPTIONS = {
    "speed": "fused", "float8": True, "attention": "sdpa", "device": "cpu", "dtype": "float32",
    "size_px": (32, 32), "other_size_px": (32, 48), "steps": 1, "decode_latents": 8,
    "layers": 1, "model": "FlashTalk-tiny",
}  # fmt: skip


def test_a_start_reports_each_of_its_parts(tmp_path, capsys):
    config = open_avatar("tiny").config
    config = replace(config, dit=replace(config.dit, num_layers=1))
    _write_weights(config, tmp_path, OPTIONS)
    start_s = time.time()
    report_start(str(tmp_path), repr(start_s), json.dumps(OPTIONS))
    elapsed_s = time.time() - start_s
    found = json.loads(capsys.readouterr().out)
    parts = ["to_import", "to_read", "to_first_chunk", "second_chunk", "other_size",
             "first_size_again"]  # fmt: skip
    assert list(found) == [*parts, "gigabytes"]
    assert all(found[part] > 0 for part in parts[1:])
    assert sum(found[part] for part in parts) == pytest.approx(elapsed_s, rel=0.1)
    size = sum(path.stat().st_size for path in tmp_path.iterdir()) / 1e9
    assert found["gigabytes"] == pytest.approx(size)
