import os
import sys
import time
from pathlib import Path

import pytest

from flashtalk_core.errors import OutputError
from flashtalk_core.media.output_lock import lock_output
from flashtalk_core.media.output_path import check_output

pytestmark = pytest.mark.cpu


def complaint(path):
    with pytest.raises(OutputError) as caught:
        check_output(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def test_good_name_leaves_nothing_behind(tmp_path):
    output = check_output(tmp_path / "a.b.mp4")
    assert output.partial == tmp_path / "a.b.partial.mp4"
    assert list(tmp_path.iterdir()) == []


def test_existing_files_keep_their_content(tmp_path):
    for name in ("v.mp4", "v.partial.mp4"):
        (tmp_path / name).write_bytes(b"old")
    check_output(tmp_path / "v.mp4")
    assert {path.read_bytes() for path in tmp_path.iterdir()} == {b"old"}


@pytest.mark.parametrize("name", ["v.avi", "v", "v.mkv"])
def test_other_formats(tmp_path, name):
    assert ".mp4" in complaint(tmp_path / name)


def test_folder_and_missing_folder(tmp_path):
    (tmp_path / "v.mp4").mkdir()
    assert "folder" in complaint(tmp_path / "v.mp4")
    assert "create it" in complaint(tmp_path / "none" / "v.mp4")


@pytest.mark.parametrize("length", [234, 236, 250])
def test_name_too_long_for_one_on_the_way(tmp_path, length):
    assert "shorter name" in complaint(tmp_path / f"{'x' * length}.mp4")
    assert list(tmp_path.iterdir()) == []


def test_folder_that_cannot_be_written_to(tmp_path):
    if sys.platform == "linux":
        folder = Path("/proc")  # not even root may create files there
    else:
        folder = tmp_path
        folder.chmod(0o500)
    assert "choose" in complaint(folder / "v.mp4")


def age(path):
    """Make a file look an hour old."""
    hour_ago = time.time() - 3600
    os.utime(path, (hour_ago, hour_ago))


def left_in(folder):
    return {path.name for path in folder.iterdir()}


def test_what_a_killed_render_left_goes_but_for_its_video(tmp_path):
    for name in ("a_00001_.partial.lock", "a_00001_.partial.mp4", "other.lock"):
        (tmp_path / name).touch()
        age(tmp_path / name)
    (tmp_path / "notes.partial.lock").write_text("somebody's own")
    age(tmp_path / "notes.partial.lock")
    (tmp_path / "young.partial.lock").touch()
    check_output(tmp_path / "a_00002_.mp4")
    assert left_in(tmp_path) == {
        "a_00001_.partial.mp4", "other.lock", "notes.partial.lock", "young.partial.lock",
    }  # fmt: skip


def test_a_lock_that_is_held_stays_however_old_it_is(tmp_path):
    lock = tmp_path / "a.partial.lock"
    with lock_output(tmp_path / "a.mp4", lock):
        age(lock)
        check_output(tmp_path / "b.mp4")
        assert left_in(tmp_path) == {lock.name}
