"""What no render goes on with is listed, counted, told, and removed when asked."""

import json

import pytest

from flashtalk_core.cli.main import main
from flashtalk_core.files.output_lock import lock_output
from flashtalk_core.files.output_path import OutputPath
from flashtalk_core.jobs.leftovers import list_leftovers, remove_leftovers, tell_leftovers
from flashtalk_core.media.audio.appended import append_audio
from tests.unit.jobs.test_job import stop_after
from tests.unit.jobs.test_record import RECORD
from tests.unit.media.audio.test_appended import write_noise

pytestmark = pytest.mark.cpu

LEFT = [
    "a.partial.older-2.mp4", "a.partial.older.mp4", "b.partial.finishing.mp4", "b.partial.mp4",
    "b.partial.wav",
]  # fmt: skip
KEPT = [
    "a.partial.mp4", "a.partial.state", "c.partial.wav", "d.mp4", "d.partial.txt", "d.wav",
    "e.partial.mp4",
]  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    """One render that can go on, files of others that cannot, one that runs, and other files."""
    folder = tmp_path / "videos"
    folder.mkdir()
    for name in {*LEFT, *KEPT} - {"a.partial.state", "b.partial.wav"}:
        (folder / name).write_bytes(b"video")
    RECORD.write(folder / "a.partial.state")
    sound = write_noise(tmp_path / "sound.wav", 1)
    append_audio(sound, sound, folder / "b.partial.wav")
    running = OutputPath(folder / "e.mp4")
    with lock_output(running.final, running.lock):
        yield folder


def names(folder):
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def test_they_are_listed_and_counted(folder, capsys):
    assert [each.path.name for each in list_leftovers(folder)] == LEFT
    assert main(["jobs", "list", str(folder), "--json"]) == 0
    said = capsys.readouterr()
    rows = json.loads(said.out)
    assert [row["video"] for row in rows] == ["a.mp4", *LEFT]
    size = (folder / "b.partial.wav").stat().st_size
    assert (
        f"5 files of stopped renders that no render goes on with, {(size + 20) / 1e3:.1f} kB"
        in said.err
    )
    assert "1 interrupted renders" in said.err


def test_what_a_killed_render_left_with_its_lock_is_listed(tmp_path):
    output = OutputPath(tmp_path / "a.mp4")
    output.partial.write_bytes(b"video")
    output.lock.touch()
    assert [each.path for each in list_leftovers(tmp_path)] == [output.partial]


def test_frames_of_a_partial_file_are_counted(plan, engine, open_job):
    job = open_job(plan)
    stop_after(job, engine, 3)
    job.writer.output.state.unlink()
    (left,) = list_leftovers(job.path.parent)
    assert (left.path, left.num_frames) == (job.writer.output.partial, 12)


def test_they_are_removed_when_asked_and_nothing_else(folder, capsys):
    assert main(["jobs", "remove", "--leftovers", str(folder)]) == 0
    assert names(folder) == KEPT
    assert capsys.readouterr().err.count("removed ") == len(LEFT)
    assert remove_leftovers(folder) == []


def test_a_command_that_names_nothing_removes_nothing(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    before = names(folder)
    assert main(["jobs", "remove"]) == 2
    assert "nothing is named" in capsys.readouterr().err
    assert main(["jobs", "remove", "--leftovers", "none"]) == 2
    assert "no such folder" in capsys.readouterr().err
    assert names(folder) == before


@pytest.mark.parametrize(
    ("limits", "is_said"), [((5, 10**9), False), ((4, 10**9), True), ((5, 100), True)]
)
def test_more_than_a_folder_should_hold_is_said(folder, limits, is_said, caplog):
    before = names(folder)
    tell_leftovers(folder, *limits)
    assert ("5 files of stopped renders take" in caplog.text) == is_said
    assert names(folder) == before


def test_a_render_says_so_once_when_it_starts(plan, engine, open_job, tmp_path, caplog):
    for number in range(51):
        (tmp_path / f"{number}.partial.mp4").write_bytes(b"video")
    stop_after(open_job(plan), engine, 2)
    assert caplog.text.count("51 files of stopped renders take 0.3 kB") == 1
