"""Stream Preview: the whole chain to a file, kept renders, containers and metadata."""

import errno
import hashlib
import json
import logging
import os
import shutil

import av
import pytest
from torch.nn.modules.module import register_module_forward_pre_hook

from flashtalk_core.media.video.reading.measure import measure_video

pytestmark = pytest.mark.cpu


def texts_in(path):
    """Return the metadata of a video; Matroska spells names in capitals."""
    with av.open(str(path)) as container:
        return {name.lower(): text for name, text in container.metadata.items()}


@pytest.fixture
def loads(pack, monkeypatch):
    """Networks that are read from their files during the test, by class."""
    read = []
    checkpoint = pack["flashtalk_core.weights.load"].AvatarCheckpoint
    load = checkpoint.load

    def counted(self, kind, *args, **kwargs):
        read.append(kind.__name__)
        return load(self, kind, *args, **kwargs)

    monkeypatch.setattr(checkpoint, "load", counted)
    return read


@pytest.fixture
def calls():
    """Classes of all networks and layers that ran during the test, in order."""
    called = []
    hook = register_module_forward_pre_hook(
        lambda module, _inputs: called.append(type(module).__name__)
    )
    yield called
    hook.remove()


@pytest.fixture(scope="module")
def store_of_kept(tmp_path_factory):
    """Folder with a kept render; it does not exist before the first one."""
    return tmp_path_factory.mktemp("kept") / ".flashtalk"


@pytest.fixture
def kept(pack, used_model, store_of_kept, tmp_path):
    """Frames that an earlier render kept, drawn once for all tests, and the kept video."""
    frames = pack.frames(used_model, seed=31)
    folder = tmp_path / "output" / ".flashtalk"
    if not store_of_kept.exists():
        pack.preview(frames, "earlier", hidden={"prompt": {"1": {}}}).unlink()
        shutil.copytree(folder, store_of_kept)
    else:
        shutil.copytree(store_of_kept, folder)
    (video,) = folder.glob("*.mp4")
    return frames, video


def test_the_whole_chain_ends_in_an_exact_video(rendered):
    measured = measure_video(rendered.path)
    # ceil(1.5 s * 25) frames, and the audio sample for sample.
    assert (measured.num_frames, measured.is_exact) == (38, True)
    assert (measured.num_samples, measured.rate_hz) == (round(1.5 * 44_100), 44_100)
    assert rendered.path.is_relative_to(rendered.base / "output" / "sub")
    assert [path.name for path in rendered.path.parent.iterdir()] == [rendered.path.name]


def test_the_page_can_play_what_was_written(rendered):
    (shown,) = rendered.ui["images"]
    assert shown == {"filename": rendered.path.name, "subfolder": "sub", "type": "output"}
    assert rendered.ui["animated"] == (True,)


def test_the_graph_is_in_the_file(rendered):
    found = texts_in(rendered.path)
    assert json.loads(found["workflow"]) == rendered.hidden["extra_pnginfo"]["workflow"]
    assert json.loads(found["prompt"]) == rendered.hidden["prompt"]
    assert found["comment"].startswith("generated with ")


def test_the_prompt_in_the_file_is_the_one_that_was_queued(pack):
    # ComfyUI writes the fingerprints of nodes into the prompt that it hands over.
    node = {"class_type": "A", "inputs": {"b": 1}}
    prompt = {"1": node | {"is_changed": [2]}, "2": node}
    found = pack["nodes.host.output"].workflow_metadata(prompt, None)
    assert json.loads(found["prompt"]) == {"1": node, "2": node}
    assert prompt["1"]["is_changed"] == [2]


def test_metadata_can_be_switched_off_for_the_whole_server(pack, model, monkeypatch):
    monkeypatch.setattr(pack["comfy.cli_args"].args, "disable_metadata", True)
    hidden = {"prompt": {"1": {}}, "extra_pnginfo": {"workflow": {}}}
    found = texts_in(pack.preview(pack.frames(model), hidden=hidden))
    assert {"prompt", "workflow"}.isdisjoint(found)


@pytest.mark.parametrize("container", ["mov", "mkv"])
def test_other_containers_hold_the_same_streams(pack, model, container):
    path = pack.preview(
        pack.frames(model), container=container, hidden={"prompt": {"3": {"inputs": {}}}}
    )
    assert path.suffix == f".{container}"
    measured = measure_video(path)
    assert measured.num_frames == 8
    assert json.loads(texts_in(path)["prompt"]) == {"3": {"inputs": {}}}
    assert [each.name for each in path.parent.glob("clip*")] == [path.name]


def test_the_same_settings_are_copied_and_call_no_network(pack, model, loads, calls):
    first = pack.preview(pack.frames(model), "one")
    assert calls
    loads.clear()
    calls.clear()
    again = pack.preview(pack.frames(model), "folder/two")
    assert (loads, calls) == ([], [])
    assert again.name.startswith("two")
    assert measure_video(again) == measure_video(first)


@pytest.mark.parametrize("container", ["mov", "mkv", "mp4"])
def test_a_copy_goes_into_any_container_with_its_own_graph(pack, kept, calls, container):
    frames, video = kept
    calls.clear()
    assert json.loads(texts_in(video)["prompt"]) == {"1": {}}
    copy = pack.preview(frames, container=container, hidden={"prompt": {"2": {}}})
    assert not calls
    assert measure_video(copy).num_frames == 8
    assert json.loads(texts_in(copy)["prompt"]) == {"2": {}}


def test_a_container_that_could_not_be_written_costs_no_second_render(
    pack, model, calls, monkeypatch
):
    def fail(*_):
        raise OSError(errno.ENOSPC, "no space left")

    frames = pack.frames(model, seed=77)
    with monkeypatch.context() as patch:
        patch.setattr(pack["nodes.graph.render_job"], "remux_video", fail)
        with pytest.raises(OSError, match="no space left") as caught:
            pack.preview(frames, container="mkv", keep_gb=0.0)
    assert "the whole render is in" in caught.value.__notes__[0]
    calls.clear()
    path = pack.preview(frames, container="mkv", keep_gb=0.0)
    assert calls == []
    assert measure_video(path).num_frames == 8
    stored = path.parent.rglob("unconverted/*")
    assert not list(stored)


@pytest.mark.parametrize(
    ("changed", "num_steps"),
    [
        ({"seed": 1}, 2),
        ({"steps": 2}, 4),
        ({"shift": 4.0}, 2),
        ({"colour_strength": 0.5}, 2),
        ({"rule": "renoise"}, 2),
        ({"motion_frames": 1}, 1),
    ],
)
def test_other_settings_render_without_reading_a_network_again(
    pack, used_model, loads, calls, changed, num_steps
):
    pack.preview(pack.frames(used_model, **{"rule": "euler"} | changed))
    assert calls.count("AvatarDiT") == num_steps
    assert {"TextEncoder", "ClipVision"}.isdisjoint(calls)
    assert loads == []


def test_another_quality_renders_again(pack, model, calls):
    pack.preview(pack.frames(model, pack.speech(0.1)))
    calls.clear()
    pack.preview(pack.frames(model, pack.speech(0.1)), quality=30)
    assert calls


def test_with_a_limit_of_zero_no_render_is_kept(pack, model, calls, tmp_path):
    pack.preview(pack.frames(model), keep_gb=0.0)
    kept = [path for path in (tmp_path / "output").rglob("*") if path.is_file()]
    assert [path.parent for path in kept] == [tmp_path / "output"]
    calls.clear()
    pack.preview(pack.frames(model), keep_gb=0.0)
    assert calls


def test_files_are_numbered_and_never_replaced(pack, kept):
    frames, _ = kept
    paths = [pack.preview(frames, "a b/clip %width%x%height%") for _ in range(3)]
    assert len({*paths}) == 3
    assert [path.name for path in paths] == [f"clip 32x32_0000{i}_.mp4" for i in (1, 2, 3)]


@pytest.mark.parametrize("prefix", ["../outside", "/outside", "a/../../outside"])
def test_a_name_outside_the_output_folder_is_refused(pack, model, prefix, tmp_path, calls):
    message = pack.error("StreamPreview", frames=pack.frames(model), filename_prefix=prefix)
    assert message == (
        f"FlashTalk Stream Preview, input 'filename_prefix': filename prefix {prefix!r}: it leads "
        "outside the output folder; use a name, or folders below it"
    )
    assert not calls
    assert not list(tmp_path.parent.glob("outside*"))


def test_a_folder_that_cannot_be_made_is_refused(pack, model, calls, tmp_path):
    (tmp_path / "output/file").write_text("in the way")
    message = pack.error("StreamPreview", frames=pack.frames(model), filename_prefix="file/clip")
    assert message.startswith("FlashTalk Stream Preview, input 'filename_prefix': ")
    assert "choose another" in message
    assert not calls


def test_a_name_that_is_too_long_is_refused_before_rendering(pack, model, calls):
    message = pack.error("StreamPreview", frames=pack.frames(model), filename_prefix="n" * 300)
    assert message.startswith("FlashTalk Stream Preview, input 'filename_prefix': ")
    assert "choose a shorter name" in message
    assert not calls


def test_notes_go_to_the_log_and_never_to_the_terminal(pack, model, capsys, caplog):
    with caplog.at_level(logging.INFO):
        pack.preview(pack.frames(model))
        pack.preview(pack.frames(model), "again")
    assert "copied" in caplog.text
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("prefix", ["", "  ", "folder/"])
def test_a_prefix_without_a_name_is_refused(pack, model, prefix):
    message = pack.error("StreamPreview", frames=pack.frames(model), filename_prefix=prefix)
    assert message.endswith(f"filename prefix {prefix!r}: it ends without a name; add one")


def rewrite(kept, data):
    """Put other bytes into a kept render that its note vouches for."""
    kept.unlink()  # a link to the output
    kept.write_bytes(data)
    note = [len(data), hashlib.sha256(data).hexdigest()]
    kept.with_suffix(".json").write_text(json.dumps(note))


def cut_in_the_chunk_table(data):
    at = data.find(b"co64")
    return data[: at - 4] + (int.from_bytes(data[at - 4 : at]) - 3).to_bytes(4) + data[at:]


def boxes_in_boxes(data):
    at = data.find(b"moov")
    size = int.from_bytes(data[at - 4 : at])
    inner = b"".join((size - 8 * n).to_bytes(4) + b"trak" for n in range(1, size // 8))
    return data[: at + 4] + inner + data[at + 4 + len(inner) :]


SPOILED = {
    "a table cut short": cut_in_the_chunk_table,
    "zeros in the index": lambda data: data.replace(b"tkhd", b"tkhd" + bytes(200), 1),
    "boxes in boxes": boxes_in_boxes,
    "nothing": lambda _data: b"",
    "text": lambda data: b"a".ljust(len(data), b"a"),
    "half of it": lambda data: data[: len(data) // 2],
    "no index": lambda data: data.replace(b"moov", b"free"),
}


@pytest.mark.parametrize("container", ["mp4", "mkv"])
@pytest.mark.parametrize("how", SPOILED)
def test_a_kept_render_that_cannot_be_copied_never_stops_the_graph(pack, kept, how, container):
    frames, video = kept
    rewrite(video, SPOILED[how](video.read_bytes()))
    assert pack.preview(frames, container=container).is_file()


def test_a_kept_render_with_one_wrong_byte_is_rendered_again(pack, used_model, calls, tmp_path):
    frames = pack.frames(used_model, seed=32)
    first = pack.preview(frames)
    (kept,) = (tmp_path / "output" / ".flashtalk").glob("*.mp4")
    when, data = kept.stat().st_mtime_ns, bytearray(first.read_bytes())
    data[data.find(b"mdat") + 40] ^= 1  # in the image itself, where nothing else would see it
    first.write_bytes(data)
    os.utime(first, ns=(when, when))
    calls.clear()
    assert measure_video(pack.preview(frames)).num_frames == 8
    assert "AvatarDiT" in calls


def test_a_copy_for_which_there_is_no_room_is_reported_and_the_kept_render_stays(
    pack, kept, calls, monkeypatch
):
    frames, _ = kept
    calls.clear()

    def fail(*_args):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(pack["flashtalk_core.media.video.remux"], "replace_metadata", fail)
        with pytest.raises(pack["flashtalk_core.errors"].OutputError, match="free some space"):
            pack.preview(frames)
    assert pack.preview(frames).is_file()
    assert calls == []


def test_another_number_of_cores_renders_again(pack, kept, calls, monkeypatch):
    """The encoder cuts a frame into as many slices."""
    frames, _ = kept
    calls.clear()
    monkeypatch.setattr(pack["flashtalk_core.jobs.job"], "num_encoder_threads", lambda: 99)
    pack.preview(frames)
    assert "AvatarDiT" in calls
