import itertools
import os
import sys
import time
from pathlib import Path

import pytest

from flashtalk_core.errors import OutputError
from flashtalk_core.files.output_lock import lock_output
from flashtalk_core.files.output_path import (
    OutputPath,
    check_name,
    check_output,
    check_spared,
)

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


def test_a_source_whose_name_no_disk_takes_is_none_that_is_replaced(tmp_path):
    output = check_output(tmp_path / "v.mp4")
    check_spared(output, [tmp_path / ("a" * 300 + ".wav"), tmp_path / "a\0.png"])


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


def test_files_of_a_killed_render_are_removed_except_its_video(tmp_path):
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


@pytest.mark.parametrize(
    "name",
    [
        "v.partial.mp4", "V.PARTIAL.MP4", "v.Partial.mp4", "v.finishing.partial.mp4",
        "v.partial.finishing.mp4", "v.partial.older.mp4", "v.partial.older-2.mp4",
        "v.PARTIAL.Older-12.MP4", ".partial.mp4", "v.partial.partial.mp4",
    ],
)  # fmt: skip
def test_a_name_of_a_file_on_the_way_to_another_video(tmp_path, name):
    assert "leave '.partial' out of the name" in complaint(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name",
    [
        "partial.mp4", "impartial.mp4", "v.finishing.mp4", "v.older.mp4", "v.partial.cut.mp4",
        "v_partial.mp4", "v.partial.older-.mp4", "v.partial.lock.x.mp4",
    ],
)  # fmt: skip
def test_names_similar_to_reserved_ones_are_accepted(tmp_path, name):
    output = check_output(tmp_path / name)
    assert output.final == tmp_path / name
    for path in (output.partial, output.finishing, output.next_older):
        with pytest.raises(OutputError, match=r"leave '\.partial' out"):
            check_output(path)


def test_files_on_the_way_to_different_videos_never_have_the_same_name(tmp_path):
    endings = ("", ".partial", ".finishing", ".older", ".older-2", ".lock", ".mp4")
    finals = {
        tmp_path / f"v{''.join(parts)}.mp4"
        for count in range(4)
        for parts in itertools.product(endings, repeat=count)
    }
    taken = {}
    for final in sorted(finals):
        try:
            check_name(final)
        except OutputError:
            continue
        output = OutputPath(final)
        for path in (*output.written, output.next_older, output._older_name(2)):
            assert taken.setdefault(path, final) == final
    assert len(taken) > 500


posix = pytest.mark.skipif(sys.platform == "win32", reason="links and pipes of POSIX")
ON_THE_WAY = ("v.partial.mp4", "v.partial.finishing.mp4", "v.partial.lock")


@posix
@pytest.mark.parametrize("name", ON_THE_WAY)
@pytest.mark.parametrize("kind", ["link", "dangling", "pipe", "folder"])
def test_what_is_no_file_in_the_place_of_one(tmp_path, name, kind):
    precious, place = tmp_path / "precious", tmp_path / name
    if kind == "link":
        precious.write_bytes(b"")
    if kind in ("link", "dangling"):
        place.symlink_to(precious)
    elif kind == "pipe":
        os.mkfifo(place)
    else:
        place.mkdir()
    before = left_in(tmp_path)
    assert f"{name} is no plain file" in complaint(tmp_path / "v.mp4")
    assert left_in(tmp_path) == before


def test_a_file_of_another_program_in_the_place_of_the_lock_stays(tmp_path):
    (tmp_path / "v.partial.lock").write_text("somebody's own")
    assert "a file of another program is there; move it away" in complaint(tmp_path / "v.mp4")
    assert (tmp_path / "v.partial.lock").read_text() == "somebody's own"


@posix
def test_a_link_is_written_through(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "v.mp4").symlink_to("far/w.mp4")
    output = check_output(tmp_path / "v.mp4")
    assert output.final == tmp_path / "far" / "w.mp4"
    assert output.partial == tmp_path / "far" / "w.partial.mp4"


@posix
@pytest.mark.parametrize("name", ["w.partial.mp4", "w.partial.lock", "w.partial.finishing.mp4"])
def test_a_link_to_a_file_on_the_way_to_another_video(tmp_path, name):
    (tmp_path / "v.mp4").symlink_to(name)
    assert "leave '.partial' out of the name" in complaint_about(tmp_path / "v.mp4")


@posix
def test_two_names_of_one_file_are_one_output(tmp_path):
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).symlink_to("w.mp4")
    output = check_output(tmp_path / "a.mp4")
    with lock_output(output.final, output.lock):
        assert "another render is writing it" in complaint_about(tmp_path / "b.mp4")
        assert "another render is writing it" in complaint_about(tmp_path / "w.mp4")


def complaint_about(path):
    with pytest.raises(OutputError) as caught:
        check_output(path)
    return str(caught.value)


@posix
def test_a_pipe_and_links_in_a_circle_are_no_output(tmp_path):
    os.mkfifo(tmp_path / "v.mp4")
    assert "this is a pipe or a device" in complaint(tmp_path / "v.mp4")
    (tmp_path / "a.mp4").symlink_to("b.mp4")
    (tmp_path / "b.mp4").symlink_to("a.mp4")
    assert "symbolic links" in complaint(tmp_path / "a.mp4")
