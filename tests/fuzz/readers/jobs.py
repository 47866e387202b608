"""What renders leave and batches are given: states, finished videos, manifests, results."""

import json
import zlib
from contextlib import suppress

import torch

from flashtalk_core.batch.manifest import read_manifest
from flashtalk_core.batch.results import ResultFile, RowResult
from flashtalk_core.engine.spec import RenderSpec
from flashtalk_core.errors import InvalidInputError
from flashtalk_core.jobs.record import JobRecord
from flashtalk_core.media.video.stored import open_stored

from ..mutate import changed_lines, changed_safetensors
from ..reader import Reader
from .isobmff import changed_index, rendered

NAMES = ("image", "audio", "output", "prompt", "seed", "size")


def _states(folder):
    for index, prompt in enumerate((None, "a person talks")):
        JobRecord(
            key="k" * 64,
            spec=RenderSpec(portrait="a.png", prompt=prompt),
            crf=18,
            chunk_index=3,
            fingerprint="f" * 64,
            num_frames=84,
            total_frames=100,
            num_bytes=12345,
            crc32=index,
            motion_frames=torch.rand(1, 3, 5, 2, 2),
        ).write(folder / f"{index}.state")
    return [path.read_bytes() for path in sorted(folder.glob("*.state"))]


def _open_state(folder):
    path = folder / "case.state"

    def read(case):
        path.write_bytes(case)
        with suppress(InvalidInputError):  # by the checksum mostly; what is behind it comes next
            JobRecord.read(path)
        path.write_bytes(signed_state(case))
        JobRecord.read(path, with_frames=False)
        JobRecord.read(path)

    return read


def signed_state(case):
    """Return a state with the checksum of its fields, if it has some."""
    length = int.from_bytes(case[:8], "little")
    try:
        header = json.loads(case[8 : 8 + length])
        entries = header["__metadata__"]
        crc32 = zlib.crc32(entries["flashtalk_job"].encode())
    except (ValueError, LookupError, TypeError, AttributeError):
        return case
    entries["flashtalk_job_crc32"] = f"{crc32:08x}"
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + case[8 + length :]


def _open_stored(folder):
    path = folder / "case.mp4"

    def read(case):
        path.write_bytes(case)
        for _ in open_stored(path).packets():
            pass

    return read


def _manifests(_folder):
    rows = [
        {"image": "a.png", "audio": "*.wav", "output": "{row}.mp4", "seed": 3},
        {"image": "a.png", "audio": "b.wav", "prompt": 'caf\u00e9; "x"', "size": "32x32"},
    ]
    table = "image;audio;seed\r\na.png;b.wav;1\r\na.png;c.wav;2\r\n"
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    return [b"\xef\xbb\xbf" + table.encode(), table.replace(";", ",").encode(), lines.encode()]


def _open_manifest(folder):
    def read(case):
        for name in ("case.csv", "case.jsonl"):
            (folder / name).write_bytes(case)
            read_manifest(folder / name, NAMES)

    return read


def _results(folder):
    results = ResultFile(folder / "a.results.jsonl")
    with results.opened():
        for number, status in enumerate(("done", "failed", "done"), 1):
            results.add(RowResult(row=str(number), status=status, output=f"{number}.mp4"))
    return [results.path.read_bytes()]


def _open_results(folder):
    path = folder / "case.results.jsonl"

    def read(case):
        path.write_bytes(case)
        len(ResultFile(path))

    return read


READERS = (
    Reader("state of a job", _states, _open_state, changed_safetensors, share=2_000),
    Reader("finished video to go on with", lambda folder: list(rendered(folder)[1:]), _open_stored,
           changed_index, share=2_000),
    Reader("manifest of a batch", _manifests, _open_manifest, changed_lines, share=3_000),
    Reader("results of a batch", _results, _open_results, changed_lines, share=2_000),
)  # fmt: skip
