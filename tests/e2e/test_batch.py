"""``batch`` as a user runs it: rows, results, a second run, and what goes wrong."""

import json
import os
import shutil

import pytest
import torch

from flashtalk_core.cli.main import main
from flashtalk_core.media.video.reading.measure import measure_video
from flashtalk_core.sampling import step as sampling
from flashtalk_core.weights.load import AvatarCheckpoint

pytestmark = pytest.mark.e2e

QUICK = ("--steps", "1", "--size", "32x32")


@pytest.fixture
def folder(tmp_path, portrait, write_audio):
    """Two portraits and two recordings of 5 and 8 frames."""
    folder = tmp_path / "list"
    folder.mkdir()
    for name in ("anna.png", "ben.png"):
        shutil.copyfile(portrait, folder / name)
    write_audio(folder / "one.wav")
    write_audio(folder / "two.wav", 0.3)
    return folder


@pytest.fixture
def batch(folder, capsys):
    """Run a batch of rows; return the code, results by row, and what was said."""

    def run(rows, *options):
        manifest = folder / "m.jsonl"
        manifest.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        code = main(["batch", str(manifest), *QUICK, *map(str, options)])
        path = folder / "m.jsonl.results.jsonl"
        lines = path.read_text("utf-8").splitlines() if path.exists() else []
        return code, {each["row"]: each for each in map(json.loads, lines)}, capsys.readouterr()

    return run


@pytest.fixture
def loads(monkeypatch):
    """Networks that are read from their files during the test, by class."""
    read, load = [], AvatarCheckpoint.load

    def counted(self, kind, *args, **kwargs):
        read.append(kind.__name__)
        return load(self, kind, *args, **kwargs)

    monkeypatch.setattr(AvatarCheckpoint, "load", counted)
    return read


ROWS = [
    {"image": "anna.png", "audio": "one.wav", "output": "out/{row}.mp4", "seed": 1},
    {"image": "anna.png", "audio": "gone.wav", "output": "out/{row}.mp4"},
    {"image": "anna.png", "audio": "*.wav", "output": "out/{row}.mp4", "seed": 2},
]


def frames(path):
    return measure_video(path).num_frames


def test_a_bad_row_stops_no_other_and_a_second_run_does_what_is_missing(batch, folder, loads):
    code, results, said = batch(ROWS)
    assert code == 1
    assert {row: each["status"] for row, each in results.items()} == {
        "1": "done", "2": "failed", "3.1": "done", "3.2": "done",
    }  # fmt: skip
    assert [frames(folder / results[row]["output"]) for row in ("1", "3.1", "3.2")] == [5, 5, 8]
    assert [results[row]["frames"] for row in ("1", "3.1", "3.2")] == [5, 5, 8]
    assert "gone.wav: no such file" in results["2"]["error"]
    assert "4 rows: 3 done, 1 failed" in said.err
    # Read once, and the encoders not again for the same portrait and prompt.
    assert sorted(loads) == sorted(set(loads))
    loads.clear()

    (folder / "out" / "3.1.mp4").unlink()
    shutil.copyfile(folder / "two.wav", folder / "gone.wav")
    before = (folder / "out" / "1.mp4").stat().st_mtime_ns
    rows = [*ROWS[:2], ROWS[2] | {"audio": "[ot]*.wav"}]
    code, results, said = batch(rows)
    assert (code, {each["status"] for each in results.values()}) == (0, {"done"})
    assert (folder / "out" / "1.mp4").stat().st_mtime_ns == before
    assert "row 1:" not in said.err
    assert "row 3.1:" in said.err
    assert "row 3.2:" not in said.err

    loads.clear()
    assert batch(rows)[0] == 0
    assert loads == []


def test_other_settings_and_a_changed_recording_are_rendered_again(batch, folder):
    row = ROWS[0] | {"output": "a.mp4"}
    batch([row])

    def is_done(*options, **change):
        (line, _) = batch([row | change], "--dry-run", *options)[2].out.splitlines()
        return line.startswith("row 1: done already")

    assert is_done()
    assert not is_done(seed=5)
    assert not is_done(crf=30)
    assert not is_done(prompt="Another")
    assert not is_done("--again")
    os.utime(folder / "one.wav")
    assert not is_done()


def test_a_dry_run_checks_every_row_and_touches_nothing(batch, folder, loads):
    names = sorted(path.name for path in folder.iterdir())
    rows = [*ROWS, {"image": "anna.png", "audio": "one.wav", "size": "31x31"}, {"sed": 3}]
    code, results, said = batch(rows, "--dry-run")
    assert (code, results, loads) == (1, {}, [])
    assert sorted(path.name for path in folder.iterdir()) == [*names[:2], "m.jsonl", *names[2:]]
    lines = said.out.splitlines()
    assert lines[0] == f"row 1: 5 frames to render, {folder / 'out' / '1.mp4'}"
    assert "row 2: error: audio" in lines[1]
    assert lines[3].startswith("row 3.2: 8 frames")
    assert "row 4: error: size 31x31" in lines[4]
    assert "row 5: error: column 'sed'" in lines[5]
    assert lines[6] == "6 rows: 3 failed, 3 to render"
    assert batch(ROWS[:1], "--dry-run")[0] == 0


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried"), "out of memory (CUDA out of memory"),
        (ZeroDivisionError("by zero"), "unexpected ZeroDivisionError: by zero"),
    ],
)
def test_a_row_that_fails_in_any_way_stops_no_other(batch, monkeypatch, error, says):
    def fail(self, kind, *args, **kwargs):
        monkeypatch.setattr(AvatarCheckpoint, "load", load)  # the next one works
        raise error

    load = AvatarCheckpoint.load
    monkeypatch.setattr(AvatarCheckpoint, "load", fail)
    code, results, _ = batch([ROWS[0], ROWS[0] | {"seed": 3}])
    assert code == 1
    assert (results["1"]["status"], results["2"]["status"]) == ("failed", "done")
    assert says in results["1"]["error"]
    assert results["1"]["fingerprint"] is None


def test_ctrl_c_stops_within_a_step_and_keeps_what_was_done(batch, folder, monkeypatch):
    steps, euler_step = [], sampling.euler_step

    def step(*args, **kwargs):
        steps.append(1)
        if len(steps) == 2:
            raise KeyboardInterrupt
        return euler_step(*args, **kwargs)

    monkeypatch.setattr(sampling, "euler_step", step)
    rows = [
        ROWS[0] | {"rule": "euler", "output": f"{seed}.mp4", "seed": seed} for seed in (1, 2, 3)
    ]
    code, results, said = batch(rows)
    assert (code, len(steps)) == (130, 2)
    assert {row: each["status"] for row, each in results.items()} == {"1": "done", "2": "stopped"}
    assert "stopped on request" in said.err.splitlines()[-1]
    assert not (folder / "2.mp4").exists()
    monkeypatch.undo()
    code, results, said = batch(rows)
    assert code == 0
    assert "row 1:" not in said.err
    assert {each["status"] for each in results.values()} == {"done"}


def test_a_row_goes_on_and_says_from_where(batch, folder, monkeypatch, write_audio):
    steps, euler_step = [], sampling.euler_step

    def step(*args, **kwargs):
        steps.append(1)
        if len(steps) == 2:
            raise KeyboardInterrupt
        return euler_step(*args, **kwargs)

    write_audio(folder / "long.wav", 1.6)
    row = {"image": "anna.png", "audio": "long.wav", "rule": "euler"}
    monkeypatch.setattr(sampling, "euler_step", step)
    code, results, _ = batch([row])
    assert (code, results["1"]["frames"], results["1"]["frames_resumed"]) == (130, 28, 0)
    monkeypatch.undo()
    code, results, said = batch([row])
    found = results["1"]
    assert (code, found["frames"], found["frames_resumed"]) == (0, 40, 28)
    assert found["frames_per_s"] == pytest.approx(12 / found["seconds"], rel=0.01)
    assert "row 1: goes on after frame 28 of 40 of an interrupted run" in said.err
    assert "12 of 40 frames in" in said.err


def test_a_portrait_that_was_away_for_a_run_is_not_rendered_again(batch, folder):
    assert batch(ROWS[:1])[0] == 0
    video = folder / "out" / "1.mp4"
    before = video.stat().st_mtime_ns
    (folder / "anna.png").rename(folder / "x.png")
    assert batch(ROWS[:1])[1]["1"]["status"] == "failed"
    (folder / "x.png").rename(folder / "anna.png")
    code, results, _ = batch(ROWS[:1])
    assert (code, results["1"]["status"], results["1"]["frames"]) == (0, "done", 5)
    assert video.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--step-limit", "0"), "--step-limit 0: use more than 0 seconds"),
        (("--workers", "2"), "--workers 2: rows at once in a Ray cluster; add --ray"),
        (("--devices", "cpu,cpu", "--device", "cpu"), "--device cpu and --devices: use one"),
        (("--devices", "cuda:99,cpu"), "device 'cuda:99':"),
        (("--devices", "cpu", "--ray", "auto"), "--ray and --devices"),
        (("--ray", "auto", "--workers", "0"), "--workers 0: use 1 or more"),
        (("--dry-run", "--results", "/no/such/folder/r.jsonl"), "results /no/such/folder/r.jsonl"),
    ],
)
def test_where_rows_are_rendered_is_checked_first(batch, options, says):
    code, results, said = batch(ROWS, *options)
    assert (code, results) == (2, {})
    assert says in said.err


def test_a_manifest_that_is_not_there_is_an_error_of_the_input(tmp_path, capsys):
    assert main(["batch", str(tmp_path / "m.csv")]) == 2
    assert "manifest" in capsys.readouterr().err


def test_rows_have_soundtracks_and_a_missing_upscaler_costs_no_weights(batch, folder, loads):
    row = {"image": "anna.png", "audio": "two.wav"}
    rows = [
        row | {"output": "a.mp4", "soundtrack": "one.wav"},
        row | {"output": "b.mp4", "upscale": "gone.pth"},
    ]
    _, results, _ = batch(rows[1:])
    assert results["1"]["error"].endswith("gone.pth: no such file; check the path")
    assert loads == []
    code, results, _ = batch(rows)
    assert (code, results["1"]["status"], results["2"]["status"]) == (1, "done", "failed")
    assert frames(folder / "a.mp4") == 8
