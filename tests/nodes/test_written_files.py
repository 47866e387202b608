"""A result that was deleted is made again, and nothing else is."""

import pytest

pytestmark = pytest.mark.cpu


@pytest.fixture
def files(pack):
    module = pack["nodes.host.written_files"]
    module.written_files.cache_clear()
    return module


@pytest.fixture
def written(files):
    return files.WrittenFiles()


@pytest.fixture
def make(tmp_path):
    def make(name):
        path = tmp_path / name
        path.write_bytes(b"video")
        return path

    return make


def test_a_node_that_wrote_nothing_stays_the_same(written):
    assert written.generation("7") == written.generation("7") == 0


def test_a_deleted_file_changes_its_node_once(written, make):
    path = make("a")
    written.add("7", path)
    written.add("8", make("b"))
    assert written.generation("7") == 0
    path.unlink()
    changed = written.generation("7")
    assert changed != 0
    assert written.generation("7") == changed
    assert written.generation("8") == 0


def test_each_file_of_a_node_counts(written, make):
    first = make("a")
    written.add("7", first)
    written.add("7", make("b"))
    first.unlink()
    assert written.generation("7") != 0


def test_generation_numbers_are_never_reused(written, make, files):
    seen = {written.generation("7")}
    for name in ("a", "b", "c"):
        path = make(name)
        written.add("7", path)
        path.unlink()
        for other in range(files.MAX_NODES):  # the node itself is forgotten meanwhile
            written.add(f"other {other}", path) if name == "b" else None
        seen.add(written.generation("7"))
    assert len(seen) == 4


def test_a_folder_that_is_gone_is_a_file_that_is_gone(written, make, tmp_path):
    (tmp_path / "sub").mkdir()
    path = make("sub/a")
    written.add("7", path)
    path.unlink()
    path.parent.rmdir()
    path.parent.write_bytes(b"a file now")
    assert written.generation("7") != 0


def test_a_file_that_cannot_be_asked_for_is_taken_to_be_there(written, make, monkeypatch, files):
    path = make("a")
    written.add("7", path)

    def refuse(self, **_):
        raise PermissionError(13, "denied")

    monkeypatch.setattr(type(path), "stat", refuse)
    assert written.generation("7") == 0


def test_memory_is_bounded(written, make, files):
    path = make("a")
    for number in range(3 * files.MAX_NODES):
        written.add(str(number), path)
    for _ in range(3 * files.MAX_FILES):
        written.add("7", path)
    path.unlink()
    for number in range(3 * files.MAX_NODES):
        written.generation(str(number))
    assert len(written._files) <= files.MAX_NODES
    assert len(written._generations) <= files.MAX_NODES
    assert max(map(len, written._files.values())) <= files.MAX_FILES


def fingerprint(pack, node="7", **inputs):
    io = pack["comfy_api.latest"].io
    kind = pack.nodes["FlashTalk_StreamPreview"]
    return io.locked_copy(kind, io.HiddenValues(unique_id=node)).fingerprint_inputs(**inputs)


@pytest.mark.usefixtures("files")
def test_the_nodes_fingerprint_changes_when_its_video_is_deleted(pack, model):
    hidden = {"unique_id": "7"}
    # ComfyUI hands over what is typed, and None for what comes over a link.
    inputs = {"frames": None, "filename_prefix": "clip", "quality": 18}
    before = fingerprint(pack, **inputs)
    path = pack.preview(pack.frames(model), hidden=hidden)
    assert fingerprint(pack, **inputs) == before
    path.unlink()
    after = fingerprint(pack, **inputs)
    assert after != before
    pack.preview(pack.frames(model), hidden=hidden)
    assert fingerprint(pack, **inputs) == after
    assert fingerprint(pack, None) == fingerprint(pack, "8") == before
