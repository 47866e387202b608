import os
import stat
import sys
import time
from pathlib import Path

import pytest

from flashtalk_core.files import whole_file
from flashtalk_core.files.output_path import unwritable
from flashtalk_core.files.whole_file import put_in_place, remove_asides, replacing, written_target

pytestmark = pytest.mark.cpu

posix = pytest.mark.skipif(sys.platform == "win32", reason="links and modes of POSIX")


def write(path, data=b"new"):
    with replacing(path) as aside:
        aside.write_bytes(data)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_new_file_has_the_usual_permissions_and_nothing_else_is_left(tmp_path):
    (tmp_path / "usual").write_bytes(b"")
    write(tmp_path / "a.json")
    assert (tmp_path / "a.json").read_bytes() == b"new"
    assert (tmp_path / "a.json").stat().st_mode == (tmp_path / "usual").stat().st_mode
    assert names(tmp_path) == ["a.json", "usual"]


def test_a_failed_write_keeps_the_older_file(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(b"older")

    def fail(aside):
        aside.write_bytes(b"half")
        raise KeyError

    with pytest.raises(KeyError), replacing(path) as aside:
        fail(aside)
    assert path.read_bytes() == b"older"
    assert names(tmp_path) == ["a.json"]


@posix
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755, 0o444])
def test_permissions_of_the_older_file_stay(tmp_path, mode):
    path = tmp_path / "a.json"
    path.write_bytes(b"older")
    path.chmod(mode)
    write(path)
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == mode


@posix
def test_a_link_stays_and_the_file_it_names_is_replaced(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "a").write_bytes(b"older")
    (tmp_path / "near").symlink_to("far/near")
    (tmp_path / "far" / "near").symlink_to("a")
    write(tmp_path / "near")
    assert (tmp_path / "near").is_symlink()
    assert (tmp_path / "far" / "near").is_symlink()
    assert (tmp_path / "far" / "a").read_bytes() == b"new"
    assert names(tmp_path) == ["far", "near"]
    assert names(tmp_path / "far") == ["a", "near"]


@posix
def test_a_link_to_nothing_yet_is_written_through(tmp_path):
    (tmp_path / "near").symlink_to(tmp_path / "a")
    write(tmp_path / "near")
    assert (tmp_path / "near").is_symlink()
    assert not (tmp_path / "a").is_symlink()
    assert (tmp_path / "a").read_bytes() == b"new"


@posix
def test_links_in_a_circle_are_an_error(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match="symbolic links"):
        written_target(tmp_path / "a")


@posix
def test_another_name_of_the_older_file_keeps_what_is_in_it(tmp_path):
    (tmp_path / "a").write_bytes(b"older")
    os.link(tmp_path / "a", tmp_path / "kept")
    write(tmp_path / "a")
    assert (tmp_path / "kept").read_bytes() == b"older"


@posix
def test_a_pipe_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "a")
    with pytest.raises(OSError, match="no file"):
        write(tmp_path / "a")
    assert stat.S_ISFIFO((tmp_path / "a").stat().st_mode)
    assert names(tmp_path) == ["a"]


def test_a_folder_is_not_replaced(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(OSError, match="directory"):
        write(tmp_path / "a")
    assert names(tmp_path) == ["a"]


@posix
def test_what_lies_where_the_file_is_to_be_made_is_not_followed(tmp_path, monkeypatch):
    monkeypatch.setattr(whole_file.secrets, "token_hex", lambda size: "0" * 2 * size)
    (tmp_path / "precious").write_bytes(b"precious")
    with replacing(tmp_path / "a") as aside:
        pass
    aside.symlink_to("precious")
    with pytest.raises(FileExistsError):
        write(tmp_path / "a")
    assert (tmp_path / "precious").read_bytes() == b"precious"


def test_data_reach_the_disk_before_the_name_and_the_name_before_the_end(tmp_path, monkeypatch):
    events = []
    for name in ("sync_file", "sync_folder"):
        monkeypatch.setattr(whole_file, name, lambda path, name=name: events.append(name))
    replace = type(tmp_path).replace
    monkeypatch.setattr(
        type(tmp_path), "replace", lambda *paths: (events.append("replace"), replace(*paths))
    )
    write(tmp_path / "a")
    assert events == ["sync_file", "replace", "sync_folder"]


def test_file_and_folder_are_synced(tmp_path, monkeypatch):
    synced = []
    sync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (synced.append(os.fstat(file)), sync(file)))
    if sys.platform == "darwin":
        pytest.skip("F_FULLFSYNC there")
    (tmp_path / "aside").write_bytes(b"new")
    put_in_place(tmp_path / "aside", tmp_path / "a")
    assert os.path.samestat(synced[0], (tmp_path / "a").stat())
    if sys.platform != "win32":
        assert os.path.samestat(synced[1], tmp_path.stat())


def test_a_disk_that_cannot_take_the_data_keeps_the_older_file(tmp_path, monkeypatch):
    def fail(file):
        raise OSError(28, "No space left on device")

    (tmp_path / "a").write_bytes(b"older")
    monkeypatch.setattr(whole_file, "sync", fail)
    with pytest.raises(OSError, match="No space"):
        write(tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"older"
    assert names(tmp_path) == ["a"]


def test_a_disk_that_knows_no_sync_is_written_to(tmp_path, monkeypatch):
    def fail(file):
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(os, "fsync", fail)
    write(tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"new"


def test_long_names(tmp_path):
    for name in ("x" * 255, "字" * 85):
        write(tmp_path / name)
        assert (tmp_path / name).read_bytes() == b"new"


def test_files_of_killed_programs_are_removed_after_an_hour(tmp_path):
    old, young, other = (
        tmp_path / f".a.{token}.tmp" for token in ("0" * 16, "1" * 16, "somebody's")
    )
    for path in (old, young, other):
        path.write_bytes(b"")
    hour_ago = time.time() - 3601
    for path in (old, other):
        os.utime(path, (hour_ago, hour_ago))
    write(tmp_path / "a")
    assert names(tmp_path) == sorted([young.name, other.name, "a"])


def test_what_was_left_aside_of_a_file_is_removed_and_nothing_of_another_one(tmp_path):
    start = "x" * 40
    left = []
    for name in ("1", "2"):
        with replacing(tmp_path / f"{start}{name}") as aside:
            pass
        aside.write_bytes(b"left")
        left.append(aside.name)
    remove_asides(tmp_path / f"{start}1")
    assert names(tmp_path) == sorted([f"{start}1", f"{start}2", left[1]])


@posix
def test_a_file_that_may_only_be_read_is_replaced_for_those_who_are_not_root(tmp_path, monkeypatch):
    """Root may open anything: what counts is that nothing is opened once it may only be read."""
    path = tmp_path / "a"
    path.write_bytes(b"older")
    path.chmod(0o444)
    modes = []
    sync = whole_file.sync_file
    monkeypatch.setattr(
        whole_file, "sync_file", lambda aside: (modes.append(aside.stat().st_mode), sync(aside))
    )
    write(path)
    assert [mode & stat.S_IWUSR for mode in modes] == [stat.S_IWUSR]
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o444


def refused(number, *, to_target=True):
    """Return the error of Windows for a file that a program has open."""
    error = PermissionError(13, "Access is denied", "v.tmp", None, "v.mp4" if to_target else None)
    error.winerror = number
    return error


@pytest.mark.parametrize("number", [5, 32])
def test_a_file_that_is_open_for_a_moment_is_waited_for(tmp_path, monkeypatch, number):
    real, tries, waits = Path.replace, [], []

    def replace(source, target):
        tries.append(source)
        if len(tries) < 4:
            raise refused(number)
        return real(source, target)

    monkeypatch.setattr(Path, "replace", replace)
    monkeypatch.setattr(whole_file.time, "sleep", waits.append)
    write(tmp_path / "a.json")
    assert (tmp_path / "a.json").read_bytes() == b"new"
    assert len(tries) == 4
    assert sum(waits) < 2


def test_a_file_that_stays_open_is_an_error_with_its_remedy(tmp_path, monkeypatch):
    def replace(*_):
        raise refused(5)

    monkeypatch.setattr(Path, "replace", replace)
    monkeypatch.setattr(whole_file.time, "sleep", lambda _: None)
    with pytest.raises(PermissionError) as caught:
        write(tmp_path / "a.json")
    said = str(unwritable(tmp_path / "a.json", caught.value))
    assert "another program may have it open; close it and run the same command" in said
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "error", [PermissionError(13, "Permission denied"), refused(5, to_target=False)]
)
def test_a_folder_that_may_not_be_written_to_is_not_waited_for(error, monkeypatch):
    def change():
        raise error

    monkeypatch.setattr(whole_file.time, "sleep", lambda _: pytest.fail("it is waited for"))
    with pytest.raises(PermissionError):
        whole_file.when_closed(change)
    assert "choose a folder you may write to" in str(unwritable(Path("v.mp4"), error))
