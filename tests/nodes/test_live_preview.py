"""What the page is told while a video is rendered."""

import json
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.cpu

JS_TABLE = Path(__file__).parents[2] / "js" / "lib" / "messages.js"
HIDDEN = {"unique_id": "7", "extra_pnginfo": {"workflow": {"id": "a-b-c", "nodes": []}}}


@pytest.fixture
def sent(pack):
    """Messages in the order they were sent."""
    found = pack["server"].PromptServer.instance.messages
    found.clear()
    return found


def states(sent):
    return [data["state"] for _, data, _ in sent]


def test_the_start_each_chunk_and_the_end_are_told_to_all_tabs(pack, model, sent):
    path = pack.preview(pack.frames(model), hidden=HIDDEN)
    assert {(event, sid) for event, _, sid in sent} == {("flashtalk.stream", None)}
    messages = [data for _, data, _ in sent]
    assert states(sent) == ["live", "live", "live", "finished"]
    assert [message["chunk"] for message in messages] == [0, 1, 2, 2]
    assert [message["frames"] for message in messages] == [0, 4, 8, 8]
    assert len({message["session"] for message in messages}) == 1
    last = messages[-1]
    assert last["file"] == {"filename": path.name, "subfolder": "", "type": "output"}
    assert (last["node"], last["workflow"]) == ("7", "a-b-c")
    assert (last["num_chunks"], last["num_frames"], last["frame_rate_hz"]) == (2, 8, 25)
    assert last["frames_per_s"] > 0
    assert json.loads(json.dumps(messages)) == messages


def test_the_stream_can_be_watched_while_it_lasts_only(pack, model, sent):
    pack.preview(pack.frames(model), hidden=HIDDEN)
    sessions = pack["nodes.host.streams"].stream_sessions()
    assert sent[0][1]["session"]
    assert sessions.find(sent[0][1]["session"]) is None


def test_a_viewer_gets_a_video_and_no_pictures_are_sent_meanwhile(pack, model, sent, tmp_path):
    import av

    sessions = pack["nodes.host.streams"].stream_sessions()
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


def test_a_copied_render_is_told_with_its_file(pack, model, sent):
    frames = pack.frames(model, seed=3)
    pack.preview(frames, hidden=HIDDEN)
    sent.clear()
    path = pack.preview(frames, prefix="again", hidden=HIDDEN)
    assert states(sent) == ["copied"]
    message = sent[0][1]
    assert (message["session"], message["file"]["filename"]) == (None, path.name)
    assert (message["frames"], message["chunk"]) == (8, 2)


def test_an_interrupted_render_is_told_with_what_is_left(pack, model, sent):
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
    assert states(sent) == ["live", "live", "interrupted"]
    message = sent[-1][1]
    assert message["file"]["filename"] == "clip_00001_.partial.mp4"
    assert message["reason"] is None
    assert message["frames"] == 4


def test_a_failed_render_says_why(pack, model, sent):
    with pytest.raises(pack["flashtalk_core.errors"].FlashTalkError):
        pack.preview(pack.frames(model, seed=5), prefix="../../out", hidden=HIDDEN)
    assert states(sent) == ["failed"]
    message = sent[0][1]
    assert "outside the output folder" in message["reason"]
    assert (message["file"], message["session"]) == (None, None)


def test_a_prompt_without_a_workflow_is_told_without_one(pack, model, sent):
    pack.preview(pack.frames(model, seed=6), hidden={"unique_id": "12:3"})
    assert {(data["node"], data["workflow"]) for _, data, _ in sent} == {("12:3", None)}


def test_the_page_knows_the_same_table(pack):
    table = pack["nodes.preview"]
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
