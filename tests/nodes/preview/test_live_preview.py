"""Messages to the page while a video is rendered."""

import json
import logging
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.cpu

JS_TABLE = Path(__file__).parents[3] / "js" / "lib" / "messages.js"
HIDDEN = {"unique_id": "7", "extra_pnginfo": {"workflow": {"id": "a-b-c", "nodes": []}}}


@pytest.fixture
def sent(pack):
    """Messages in the order they were sent."""
    found = pack["server"].PromptServer.instance.messages
    found.clear()
    return found


def states(sent):
    return [data["state"] for _, data, _ in sent]


def chunks(sent):
    """Messages about drawn frames and the end."""
    return [data for _, data, _ in sent if data["frames"] or data["state"] != "live"]


def test_the_start_each_chunk_and_the_end_are_reported_to_the_client_that_queued(pack, model, sent):
    path = pack.preview(pack.frames(model), hidden=HIDDEN)
    assert {(event, sid) for event, _, sid in sent} == {("flashtalk.stream", "page")}
    messages = chunks(sent)
    assert [message["state"] for message in messages] == ["live", "live", "finished"]
    assert [message["chunk"] for message in messages] == [1, 2, 2]
    assert [message["frames"] for message in messages] == [4, 8, 8]
    assert len({message["session"] for message in messages}) == 1
    last = messages[-1]
    assert last["file"] == {"filename": path.name, "subfolder": "", "type": "output"}
    assert (last["node"], last["workflow"]) == ("7", "a-b-c")
    assert (last["num_chunks"], last["num_frames"], last["frame_rate_hz"]) == (2, 8, 25)
    assert last["frames_per_s"] > 0
    assert json.loads(json.dumps(messages)) == messages


def test_a_message_is_sent_at_once_and_with_each_new_activity(pack, sent):
    model = pack.run("ModelLoader").args[0]  # of its own: everything is read
    pack.preview(pack.frames(model, seed=11), container="mov", hidden=HIDDEN)
    first = sent[0][1]
    assert (first["state"], first["text"], first["session"]) == ("live", "checking", None)
    assert [data["text"] for _, data, _ in sent] == [
        "checking",
        "encoding the portrait and the prompt",
        "reading weights: text encoder",
        "reading weights: CLIP vision",
        "reading weights: VAE",
        "reading weights: transformer",
        None,  # it draws
        "reading weights: audio encoder",
        None,
        "finishing the file",
        "writing the mov file",
        None,
    ]


def test_every_network_has_a_users_word(pack):
    table, load = pack["nodes.preview.messages"], pack["flashtalk_core.weights.load"]
    kinds = {
        pack["flashtalk_core.models.transformer.model"].AvatarDiT,
        pack["flashtalk_core.models.vae.light_vae"].LightVAE,
        pack["flashtalk_core.models.vae.model"].VideoVAE,
    }
    kinds |= {getattr(load, name) for name in ("AudioEncoder", "ClipVision", "TextEncoder")}
    assert {kind.__name__ for kind in kinds} == set(table.NETWORKS)


def test_the_time_left_is_known_from_the_first_chunk_to_the_last(pack, model, sent):
    pack.preview(pack.frames(model, pack.speech(0.48), seed=12), hidden=HIDDEN)
    left_s = [data["left_s"] for _, data, _ in sent if data["frames"]]
    assert left_s[0] > 0
    assert left_s[2] == 0
    assert left_s[3] is None
    assert {data["left_s"] for _, data, _ in sent if not data["frames"]} == {None}


def test_the_growing_file_is_named_once_it_plays(pack, model, sent):
    # 48 frames: the file gets its first part only with the encoder's first frames behind it.
    pack.preview(pack.frames(model, pack.speech(1.92), seed=13), "sub/clip", hidden=HIDDEN)
    partial = {"filename": "clip_00001_.partial.mp4", "subfolder": "sub", "type": "output"}
    partials = [data["partial"] for _, data, _ in sent]
    assert partials[0] is None
    assert partial in partials
    assert partials[-1] is None
    first = partials.index(partial)
    assert set(map(str, partials[first:-1])) == {str(partial)}


def test_a_render_that_no_client_queued_sends_no_messages(pack, model, sent, monkeypatch):
    monkeypatch.setattr(pack["server"].PromptServer.instance, "client_id", None)
    pack.preview(pack.frames(model), hidden=HIDDEN)
    assert sent == []


def test_messages_that_fail_never_end_the_render(pack, model, caplog, monkeypatch):
    def fail(*_):
        raise RuntimeError("the loop is closed")

    monkeypatch.setattr(pack["server"].PromptServer.instance, "send_sync", fail)
    with caplog.at_level(logging.WARNING):
        assert pack.preview(pack.frames(model), hidden=HIDDEN).is_file()
    lines = [record.getMessage() for record in caplog.records]
    assert (
        len([line for line in lines if "no message of the render: the loop is closed" in line]) == 1
    )


def test_notes_are_sent_from_the_start_and_logged_once(pack, sent, caplog):
    model = pack.run("ModelLoader", float8=True, speed="fused").args[0]
    with caplog.at_level(logging.WARNING):
        pack.preview(pack.frames(model, seed=14), hidden=HIDDEN)
    notes = [data["notes"] for _, data, _ in sent if data["session"] is None or data["frames"]]
    openings = [note.partition(":")[0] for note in notes[-1]]
    assert openings == [
        "size 32x32", "chunks of 9 frames, 5 of them motion frames", "float8", "speed fused",
    ]  # fmt: skip
    lines = [record.getMessage() for record in caplog.records]
    assert [lines.count(note) for note in notes[-1]] == [1, 1, 1, 1]


def test_the_memory_choice_is_a_note(pack, model, sent, monkeypatch):
    networks = type(model.networks)
    monkeypatch.setattr(networks, "memory_reason", lambda *_: "3 of 4 blocks in bfloat16")
    pack.preview(pack.frames(model, seed=15), hidden=HIDDEN)
    assert "memory: 3 of 4 blocks in bfloat16" in sent[-1][1]["notes"]


def test_the_stream_can_be_watched_while_it_lasts_only(pack, model, sent):
    pack.preview(pack.frames(model), hidden=HIDDEN)
    sessions = pack["nodes.preview.streams"].stream_sessions()
    assert sent[-1][1]["session"]
    assert sessions.find(sent[-1][1]["session"]) is None


def test_a_viewer_gets_a_video_and_no_images_are_sent_meanwhile(pack, model, sent, tmp_path):
    import av

    sessions = pack["nodes.preview.streams"].stream_sessions()
    server = pack["server"].PromptServer.instance
    viewers = []

    def join(event, data, sid=None):
        stream = sessions.find(data.get("session") or "")
        if stream and not viewers:
            viewers.append((stream, stream.join(lambda: None)))

    server.send_sync = join
    try:
        pack.preview(pack.frames(model), hidden=HIDDEN)
    finally:
        del server.send_sync
    ((stream, viewer),) = viewers
    seen = tmp_path / "seen.mp4"
    with seen.open("wb") as file:
        while data := stream.take(viewer):
            file.write(data)
    with av.open(str(seen)) as container:
        assert len(list(container.decode(video=0))) == 8
    updates = pack["comfy.utils"].updates
    assert updates
    assert not any(preview for _, _, preview, _ in updates)


def test_a_copied_render_is_reported_with_its_file(pack, model, sent):
    frames = pack.frames(model, seed=3)
    pack.preview(frames, hidden=HIDDEN)
    sent.clear()
    path = pack.preview(frames, prefix="again", hidden=HIDDEN)
    assert [data["text"] for _, data, _ in sent] == [
        "checking", "copying the render that was kept", None,
    ]  # fmt: skip
    assert states(sent) == ["live", "live", "copied"]
    message = sent[-1][1]
    assert (message["session"], message["file"]["filename"]) == (None, path.name)
    assert (message["frames"], message["chunk"]) == (8, 2)


def test_an_interrupted_render_is_reported_with_what_is_left(pack, model, sent):
    management = pack["comfy.model_management"]
    server = pack["server"].PromptServer.instance

    def stop(event, data, sid=None):
        sent.append((event, data, sid))
        management.interrupt_current_processing(data.get("frames") == 4)

    server.send_sync = stop
    try:
        with pytest.raises(management.InterruptProcessingException):
            pack.preview(pack.frames(model, seed=4), hidden=HIDDEN)
    finally:
        del server.send_sync
    assert [message["state"] for message in chunks(sent)] == ["live", "interrupted"]
    message = sent[-1][1]
    assert message["file"]["filename"] == "clip_00001_.partial.mp4"
    assert message["partial"] == message["file"]
    assert (message["text"], message["left_s"]) == (None, None)
    assert message["reason"] is None
    assert message["frames"] == 4


def test_a_failed_render_says_why(pack, model, sent):
    with pytest.raises(pack["flashtalk_core.errors"].FlashTalkError):
        pack.preview(pack.frames(model, seed=5), prefix="../../out", hidden=HIDDEN)
    assert states(sent) == ["live", "failed"]
    message = sent[-1][1]
    assert "outside the output folder" in message["reason"]
    assert (message["file"], message["session"]) == (None, None)


def test_the_reason_of_a_failure_has_a_sane_length(pack, model, sent):
    prefix = "../" + "x" * 3000
    with pytest.raises(pack["flashtalk_core.errors"].FlashTalkError):
        pack.preview(pack.frames(model), prefix=prefix, hidden=HIDDEN)
    reason = sent[-1][1]["reason"]
    assert len(reason) == 500
    assert reason.endswith("...")


def test_a_prompt_without_a_workflow_is_reported_without_one(pack, model, sent):
    pack.preview(pack.frames(model, seed=6), hidden={"unique_id": "12:3"})
    assert {(data["node"], data["workflow"]) for _, data, _ in sent} == {("12:3", None)}


def test_the_page_knows_the_same_table(pack):
    table = pack["nodes.preview.messages"]
    text = JS_TABLE.read_text(encoding="utf-8")
    constants = dict(re.findall(r"export const (\w+) = '([^']*)'", text))
    assert constants["EVENT"] == table.EVENT
    assert constants["ROUTE"] + "{session}" == table.ROUTE
    assert table.ROUTE + constants["MESSAGE"] == table.MESSAGE_ROUTE
    assert constants["FROM"] == table.FROM
    assert constants["WIDGET"] == table.WIDGET
    assert {constants[state.upper()] for state in table.STATES} == set(table.STATES)
    fields = set(re.findall(r"^ \* @property \{[^}]*\} (\w+)", text, re.MULTILINE))
    assert fields == {*table.StreamMessage.__annotations__, *table.FileMessage.__annotations__}
