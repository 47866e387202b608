"""The parts of a cold start, at the tiny model's size."""

import json
import time
from dataclasses import replace

import pytest
import torch

from flashtalk_core.bench.cold import (
    _disk_bytes_per_s,
    _Laps,
    _measured,
    _read,
    _write_weights,
    report_start,
)
from flashtalk_core.cli.main import main
from flashtalk_core.models.transformer.model import AvatarDiT
from flashtalk_core.weights.load import open_avatar

CPU = torch.device("cpu")

OPTIONS = {
    "speed": "fused", "float8": True, "attention": "sdpa", "device": "cpu", "dtype": "float32",
    "size_px": (32, 32), "other_size_px": (32, 48), "steps": 1, "decode_latents": 8,
    "layers": 1, "model": "FlashTalk-tiny", "from_disk": True, "read_ahead": True,
    "only_read": False,
}  # fmt: skip


def one_block():
    config = open_avatar("tiny").config
    return replace(config, dit=replace(config.dit, num_layers=1))


@pytest.mark.bench
def test_what_is_written_is_read_as_a_render_reads_it(tmp_path):
    config = one_block()
    _write_weights(config, tmp_path, OPTIONS)
    dit = _read(str(tmp_path), "dit", lambda: AvatarDiT(config.dit), CPU, torch.float32)
    assert len(dit.blocks) == 1
    assert float(dit.blocks[0].ffn[0].weight.std()) > 0


@pytest.mark.bench
def test_the_rate_is_that_of_the_bytes_that_a_start_reads(tmp_path):
    _write_weights(one_block(), tmp_path, OPTIONS)
    rate = _disk_bytes_per_s(tmp_path)
    assert 1e6 < rate < 1e12
    laps = {"to_import": 1.0, "to_read": 3.0, "gigabytes": 2e-9 * rate, "to_first_chunk": 1.0,
            "second_chunk": 1.0, "other_size": 1.0, "first_size_again": 1.0}  # fmt: skip
    assert _measured("warm", rate, laps).over_disk == pytest.approx(1.5)
    assert _measured("warm", None, laps).over_disk is None


@pytest.mark.bench
def test_laps_add_up_to_the_wall_clock():
    start_s = time.time()
    laps = _Laps(start_s, CPU)
    for name in ("first", "second"):
        time.sleep(0.02)
        laps.end(name)
    # What lies between is the test's own time.
    assert 0.04 <= sum(laps.found.values()) <= time.time() - start_s
    assert min(laps.found.values()) >= 0.02


@pytest.mark.bench
@pytest.mark.parametrize(
    ("option", "shown"),
    [
        (["--decode-latents", "0"], "decode latents 0: use 1 or more"),
        (["--folder", "/no/such"], "folder /no/such: no such folder; make it"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_written(capsys, option, shown):
    assert main(["bench", "cold", "--model", "tiny", "--device", "cpu", *option]) == 2
    assert shown in capsys.readouterr().err


@pytest.mark.bench
def test_reading_alone_runs_no_chunk(tmp_path, capsys):
    _write_weights(one_block(), tmp_path, OPTIONS)
    report_start(str(tmp_path), repr(time.time()), json.dumps(OPTIONS | {"only_read": True}))
    found = json.loads(capsys.readouterr().out)
    assert found.keys() == {"to_import", "to_read", "gigabytes"}
    assert _measured("warm", 1e9, found).to_first_chunk is None


@pytest.mark.manual  # four chunks
def test_a_start_reports_each_of_its_parts(tmp_path, capsys):
    _write_weights(one_block(), tmp_path, OPTIONS)
    start_s = time.time()
    report_start(str(tmp_path), repr(start_s), json.dumps(OPTIONS))
    elapsed_s = time.time() - start_s
    found = json.loads(capsys.readouterr().out)
    parts = ["to_import", "to_read", "to_first_chunk", "second_chunk", "other_size",
             "first_size_again"]  # fmt: skip
    assert list(found) == [*parts, "gigabytes"]
    assert all(found[part] > 0 for part in parts[1:])
    assert 0.5 * elapsed_s < sum(found[part] for part in parts) <= elapsed_s
    size = sum(path.stat().st_size for path in tmp_path.iterdir()) / 1e9
    assert found["gigabytes"] == pytest.approx(size)
