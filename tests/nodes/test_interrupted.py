"""A prompt that was interrupted goes on when it is queued again."""

import pytest

pytestmark = pytest.mark.cpu

HIDDEN = {"unique_id": "7"}


@pytest.fixture
def sent(pack):
    """Messages to the page."""
    messages = []
    server = pack["server"].PromptServer.instance
    server.send_sync = lambda _event, data, _sid=None: "notes" in data and messages.append(data)
    yield messages
    del server.send_sync


def interrupt_at(pack, frames, num_frames, **given):
    """Render until ``num_frames`` frames are there."""
    management = pack["comfy.model_management"]
    server = pack["server"].PromptServer.instance

    def stop(_event, data, _sid=None):
        management.interrupt_current_processing(data.get("frames") == num_frames)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server, "send_sync", stop, raising=False)
        with pytest.raises(management.InterruptProcessingException):
            pack.preview(frames, hidden=HIDDEN, **given)
    management.interrupt_current_processing(False)


def names(folder):
    return sorted(path.name for path in folder.glob("clip*"))


@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_the_same_prompt_goes_on_and_says_from_where(pack, model, sent, tmp_path, container):
    frames = pack.frames(model, speech=pack.speech(0.64), seed=41)  # 16 frames in 4 chunks
    whole = pack.preview(frames, "whole", keep_gb=0.0, container=container).read_bytes()
    interrupt_at(pack, frames, 12, container=container)
    folder = tmp_path / "output"
    assert names(folder) == ["clip_00001_.partial.mp4", "clip_00001_.partial.state"]
    path = pack.preview(frames, hidden=HIDDEN, container=container)
    assert path.name == f"clip_00001_.{container}"
    if container == "mp4":
        assert path.read_bytes() == whole
    assert names(folder) == [path.name]
    note = "goes on from 0.3 s: 8 frames are there of a run that was interrupted"
    assert all(note in message["notes"] for message in sent if message["frames"])
    assert [message["chunk"] for message in sent if message["frames"] and not message["text"]] == [
        2, 3, 4,
    ]  # fmt: skip


def test_the_stream_starts_at_the_live_point(pack, model, sent, monkeypatch):
    frames = pack.frames(model, speech=pack.speech(0.64), seed=42)
    interrupt_at(pack, frames, 12)
    times = []
    broadcast = pack["flashtalk_core.streaming.broadcast"].Broadcast
    add = broadcast.add

    def note(self, data, start_ms, **kind):
        times.append(start_ms)
        add(self, data, start_ms, **kind)

    monkeypatch.setattr(broadcast, "add", note)
    pack.preview(frames, hidden=HIDDEN)
    assert times[0] == 320
    assert times == sorted(times)


def test_another_seed_is_another_video(pack, model, sent, tmp_path):
    interrupt_at(pack, pack.frames(model, speech=pack.speech(0.64), seed=43), 12)
    path = pack.preview(pack.frames(model, speech=pack.speech(0.64), seed=44), hidden=HIDDEN)
    assert path.name == "clip_00002_.mp4"
    assert not any("goes on" in note for message in sent for note in message["notes"])
    assert names(tmp_path / "output") == [
        "clip_00001_.partial.mp4", "clip_00001_.partial.state", "clip_00002_.mp4",
    ]  # fmt: skip
