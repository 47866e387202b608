"""Finished renders that are kept: found, bounded, never trusted when changed, never an obstacle."""

import errno
import os
import shutil
import time

import pytest

from flashtalk_core.files.render_store import RenderStore

pytestmark = pytest.mark.cpu


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "store"


@pytest.fixture
def make_video(tmp_path):
    def make(name="video.mp4", size=100):
        path = tmp_path / name
        path.write_bytes(name.encode().ljust(size, b"."))
        return path

    return make


@pytest.fixture
def no_links(monkeypatch):
    def refuse(*_args, **_kwargs):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)


def kept(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_what_is_kept_is_found_under_its_key_alone(folder, make_video):
    store, video = RenderStore(folder, 1000), make_video()
    assert store.find("a") is None
    store.store("a", video)
    assert store.find("a").read_bytes() == video.read_bytes()
    assert store.find("b") is None
    assert kept(folder) == ["a.json", "a.mp4"]


def test_a_kept_render_is_found_by_another_store(folder, make_video):
    RenderStore(folder, 1000).store("a", make_video())
    assert RenderStore(folder, 1000).find("a") is not None


def test_asking_makes_no_folder(folder):
    assert RenderStore(folder, 1000).find("a") is None
    assert not folder.exists()


def test_a_kept_render_is_a_hard_link_where_the_disk_can_link(folder, make_video):
    video = make_video()
    store = RenderStore(folder, 1000)
    store.store("a", video)
    assert store.find("a").samefile(video)
    video.unlink()
    assert store.find("a").stat().st_size == 100


def test_a_kept_render_is_a_copy_where_the_disk_cannot_link(folder, make_video, no_links):
    video = make_video()
    store = RenderStore(folder, 1000)
    store.store("a", video)
    found = store.find("a")
    assert not found.samefile(video)
    assert found.read_bytes() == video.read_bytes()
    assert kept(folder) == ["a.json", "a.mp4"]


@pytest.mark.parametrize("contents", [b"shorter", b"x" * 100])
def test_a_changed_file_is_not_used_as_a_kept_render(folder, make_video, contents):
    video = make_video()
    store = RenderStore(folder, 1000)
    store.store("a", video)
    time.sleep(0.01)
    video.write_bytes(contents)  # the output, which is linked
    assert store.find("a") is None
    assert kept(folder) == []
    assert video.read_bytes() == contents


@pytest.mark.parametrize("note", ["", "{", "[1]", "null"])
def test_damaged_metadata_is_not_used_as_a_kept_render(folder, make_video, note):
    store = RenderStore(folder, 1000)
    store.store("a", make_video())
    (folder / "a.json").write_text(note)
    assert store.find("a") is None
    assert kept(folder) == []


@pytest.mark.parametrize("gone", ["a.mp4", "a.json"])
def test_a_kept_render_that_lacks_a_file_is_not_found(folder, make_video, gone):
    store = RenderStore(folder, 1000)
    store.store("a", make_video())
    (folder / gone).unlink()
    assert store.find("a") is None
    assert kept(folder) == []


def test_the_least_recently_used_render_is_evicted_first(folder, make_video):
    store = RenderStore(folder, 300)
    for hours, key in enumerate("cab"):
        store.store(key, make_video(f"{key}.mp4"))
        at = time.time() - 3600 * (9 - hours)
        os.utime(folder / f"{key}.json", (at, at))
    store.find("c")  # used just now
    store.store("d", make_video("d.mp4"))
    assert kept(folder) == [f"{key}.{kind}" for key in "bcd" for kind in ("json", "mp4")]


def test_a_smaller_limit_removes_what_is_over(folder, make_video):
    store = RenderStore(folder, 1000)
    for hours, key in enumerate("abc"):
        store.store(key, make_video(f"{key}.mp4"))
        at = time.time() - 3600 * (9 - hours)
        os.utime(folder / f"{key}.json", (at, at))
    RenderStore(folder, 150).store("d", make_video("d.mp4"))
    assert kept(folder) == ["d.json", "d.mp4"]


def test_what_is_larger_than_the_limit_is_not_kept_and_evicts_nothing(folder, make_video):
    store = RenderStore(folder, 300)
    store.store("a", make_video())
    store.store("b", make_video("large.mp4", 301))
    assert kept(folder) == ["a.json", "a.mp4"]


def test_with_a_limit_of_zero_the_store_is_neither_read_nor_emptied(folder, make_video):
    RenderStore(folder, 1000).store("a", make_video())
    store = RenderStore(folder, 0)
    assert store.find("a") is None
    store.store("b", make_video("b.mp4"))
    assert kept(folder) == ["a.json", "a.mp4"]
    assert RenderStore(folder, 1000).find("a") is not None


def test_files_of_a_killed_run_are_removed_after_an_hour(folder, make_video):
    store = RenderStore(folder, 1000)
    store.store("a", make_video())
    for name, age_s in (("old.tmp", 4000), ("new.tmp", 10)):
        (folder / name).write_bytes(b"half")
        os.utime(folder / name, (time.time() - age_s,) * 2)
    store.store("b", make_video("b.mp4"))
    assert kept(folder) == ["a.json", "a.mp4", "b.json", "b.mp4", "new.tmp"]


def test_keeping_again_takes_the_newer_one(folder, make_video):
    store = RenderStore(folder, 1000)
    store.store("a", make_video("one.mp4"))
    store.store("a", make_video("two.mp4", 120))
    assert store.find("a").read_bytes().startswith(b"two.mp4")
    assert kept(folder) == ["a.json", "a.mp4"]


def test_a_full_disk_only_warns_and_leaves_nothing_behind(
    folder, make_video, no_links, monkeypatch, caplog
):
    store = RenderStore(folder, 1000)
    store.store("a", make_video("a.mp4"))

    def half(source, target):
        target.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", half)
    store.store("b", make_video("b.mp4"))
    assert "b.mp4 is not stored for a later run: [Errno 28] No space left on device" in caplog.text
    assert kept(folder) == ["a.json", "a.mp4"]
    assert store.find("b") is None
    assert store.find("a") is not None


def test_a_folder_that_cannot_be_made_only_warns(folder, make_video, caplog):
    folder.write_text("a file is in the way")
    store = RenderStore(folder, 1000)
    store.store("a", make_video())
    assert "is not stored for a later run" in caplog.text
    assert store.find("a") is None
    assert folder.read_text() == "a file is in the way"


def test_files_of_others_in_the_folder_are_left_alone(folder, make_video):
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    RenderStore(folder, 150).store("a", make_video())
    assert (folder / "notes.txt").read_text() == "mine"


def rot(folder, key="a", at=50):
    """Change a byte of a kept video so that neither size nor time shows it."""
    path = folder / f"{key}.mp4"
    status = path.stat()
    with path.open("r+b") as file:
        file.seek(at)
        file.write(b"!")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize("at", [0, 50, 99])
def test_a_corrupted_file_is_not_used_as_a_kept_render(folder, make_video, at):
    store = RenderStore(folder, 1000)
    store.store("a", make_video())
    rot(folder, at=at)
    assert store.find("a") is None
    assert kept(folder) == []


NOTES = [
    "[" * 100_000, '{"a":' * 500, "[[[[1]]]]", "1e999", "9" * 900, "NaN", '"text"', '{"size": 1}',
    "[100]", "[100, 0]", "[100, null]", "\0", "[true, false]", '[100, "00"]', "[" + "1," * 600,
]  # fmt: skip


@pytest.mark.parametrize("note", NOTES, ids=range(len(NOTES)))
def test_damaged_metadata_of_a_kept_render_never_stops_a_render(folder, make_video, note):
    store = RenderStore(folder, 1000)
    store.store("a", make_video())
    (folder / "a.json").write_text(note)
    assert store.find("a") is None
    assert kept(folder) == []


def test_metadata_that_is_not_text_is_ignored(folder, make_video):
    store = RenderStore(folder, 1000)
    store.store("a", make_video())
    (folder / "a.json").write_bytes(bytes(range(256)))
    assert store.find("a") is None


def test_a_file_with_only_another_time_is_still_the_kept_render(folder, make_video):
    store = RenderStore(folder, 1000)
    store.store("a", make_video())
    os.utime(folder / "a.mp4", (1, 1))
    assert store.find("a") is not None


@pytest.mark.parametrize("name", ["a.mp4", "a.json"])
def test_a_symbolic_link_is_never_used_as_a_kept_render(folder, make_video, tmp_path, name):
    store = RenderStore(folder, 1000)
    store.store("a", make_video())
    others = tmp_path / "others"
    (folder / name).rename(others)  # the very same bytes
    (folder / name).symlink_to(others)
    before = others.read_bytes(), others.stat().st_mtime_ns
    assert store.find("a") is None
    assert kept(folder) == []
    assert (others.read_bytes(), others.stat().st_mtime_ns) == before


@pytest.mark.parametrize("name", ["a.tmp", "a.mp4", "a.json", "a.json.tmp"])
@pytest.mark.parametrize("can_link", [True, False])
def test_nothing_is_written_where_a_link_leads(
    folder, make_video, tmp_path, request, name, can_link
):
    if not can_link:
        request.getfixturevalue("no_links")
    others = tmp_path / "others"
    others.write_bytes(b"mine")
    folder.mkdir()
    (folder / name).symlink_to(others)
    store = RenderStore(folder, 1000)
    store.store("a", make_video())
    assert others.read_bytes() == b"mine"
    assert store.find("a") is not None
    assert not any(path.is_symlink() for path in folder.iterdir())


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("name", ["a.mp4", "a.json", "a.json.tmp", "a.tmp"])
def test_a_pipe_is_not_waited_for(folder, make_video, name):
    store = RenderStore(folder, 1000)
    store.store("a", make_video())
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    store.find("a")
    store.store("a", make_video("again.mp4"))
    assert store.find("a").read_bytes().startswith(b"again")


def test_errors_while_keeping_a_render_are_only_logged(folder, make_video, monkeypatch, caplog):
    def fail(_video):
        raise RuntimeError("a library has another opinion")

    monkeypatch.setattr("flashtalk_core.files.render_store._summary", fail)
    RenderStore(folder, 1000).store("a", make_video())
    assert "is not stored for a later run: a library has another opinion" in caplog.text
