"""The state file: what is written is read, and nothing else is."""

import json
import re
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from flashtalk_core.engine.spec import RenderSpec
from flashtalk_core.errors import InvalidInputError
from flashtalk_core.jobs import record as module
from flashtalk_core.jobs.record import JobRecord

pytestmark = pytest.mark.cpu

RECORD = JobRecord(
    key="k" * 64,
    spec=RenderSpec(portrait="/p.png", prompt="a \u2603"),
    crf=18,
    chunk_index=3,
    fingerprint="f" * 64,
    num_frames=84,
    total_frames=100,
    num_bytes=12345,
    crc32=2**32 - 1,
    motion_frames=torch.rand(1, 3, 5, 16, 32),
)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "a.partial.state"
    RECORD.write(path)
    return path


def test_what_is_written_is_read(path):
    found = JobRecord.read(path)
    assert torch.equal(found.motion_frames, RECORD.motion_frames)
    assert replace(found, motion_frames=None) == replace(RECORD, motion_frames=None)
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def rewritten(path, **changes):
    """Write the file with other fields in its header, their checksum, and the same frames."""
    with safe_open(path, "pt") as file:
        fields = json.loads(file.metadata()["flashtalk_job"])
    text = json.dumps(fields | changes)
    entries = {"flashtalk_job": text, "flashtalk_job_crc32": f"{zlib.crc32(text.encode()):08x}"}
    save_file(load_file(path), path, entries)
    return path


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"version": 1}, "version 1"),
        ({"version": "1"}, "version '1'"),
        ({"chunk_index": 0}, "damaged"),
        ({"chunk_index": "3"}, "use a"),
        ({"num_frames": 101}, "damaged"),
        ({"num_bytes": -1}, "damaged"),
        ({"more": 1}, "more"),
        ({"frames_crc32": 0}, "motion frames are damaged"),
        ({"spec": {"version": 1, "portrait": 5}}, "portrait"),
        ({"spec": []}, "object in braces"),
    ],
)
def test_other_values_are_refused(path, changes, said):
    with pytest.raises(InvalidInputError, match=said):
        JobRecord.read(rewritten(path, **changes))


@pytest.mark.parametrize("name", ["crf", "chunk_index", "num_frames", "total_frames", "num_bytes"])
def test_a_digit_that_was_changed_is_found(path, name):
    data = bytearray(path.read_bytes())
    # Behind the spec, whose chunk has a field of the same name.
    found = re.compile(rf'"{name}\\": \d+'.encode()).search(data, data.index(b'"crf'))
    data[found.end() - 1] ^= 1  # 2 for 3
    path.write_bytes(data)
    with pytest.raises(InvalidInputError, match="its checksum differs"):
        JobRecord.read(path)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="Linux lists what is mapped")
def test_a_file_that_was_read_may_be_replaced_and_removed(path):
    found = JobRecord.read(path)
    assert found.motion_frames is not None
    assert path.name not in Path("/proc/self/maps").read_text()


@pytest.mark.parametrize("data", [b"", b"\0" * 8, b"no state" * 20, b"\xff" * 100])
def test_other_files_are_refused(path, data):
    path.write_bytes(data)
    with pytest.raises(InvalidInputError, match="damaged"):
        JobRecord.read(path)


def test_frames_of_another_shape_are_refused(path):
    save_file({"motion_frames": torch.zeros(2, 3)}, path, {"flashtalk_job": "{}"})
    with pytest.raises(InvalidInputError, match="version None"):
        JobRecord.read(path)


def test_a_huge_file_is_not_read(path, monkeypatch):
    monkeypatch.setattr(module, "MAX_BYTES", 1000)
    with pytest.raises(InvalidInputError, match="at most 1000 are read"):
        JobRecord.read(path)
